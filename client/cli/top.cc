#include "client/cli/top.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <ostream>
#include <utility>

#include "base/unique_fd.h"
#include "client/cli/frame.h"
#include "client/cli/operator_channel.h"
#include "ringside/control/v1/control.grpc.pb.h"

namespace ringside::cli {
namespace {

namespace control = ringside::control::v1;
using Clock = std::chrono::steady_clock;

constexpr auto kEvery = std::chrono::seconds(1);
constexpr std::string_view kOpen = "\x1b[?1049h\x1b[?25l";   // another screen, no cursor
constexpr std::string_view kClose = "\x1b[?25h\x1b[?1049l";  // the cursor and the screen of before
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kRestOfLine = "\x1b[K";
constexpr std::string_view kRestOfScreen = "\x1b[J";

struct Sample {
  control::StatusResponse status;
  Clock::time_point at;
};

/// Keys come one by one and unseen, and Ctrl-C as something to read, as long as this lives.
class Terminal {
 public:
  Terminal() {
    sigset_t ends;
    ::sigemptyset(&ends);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ends, number);
    ::pthread_sigmask(SIG_BLOCK, &ends, &blocked_before_);
    ends_.reset(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
    is_set_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!is_set_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~Terminal() {
    if (is_set_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    ::pthread_sigmask(SIG_SETMASK, &blocked_before_, nullptr);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// True when it is to end; false when the time has come.
  [[nodiscard]] bool ended_before(Clock::time_point when) {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now());
      if (left.count() <= 0) return false;
      pollfd watched[] = {{ends_.get(), POLLIN, 0}, {is_set_ ? STDIN_FILENO : -1, POLLIN, 0}};
      if (::poll(watched, std::size(watched), static_cast<int>(left.count())) <= 0) continue;
      if (watched[0].revents != 0) return true;
      char key = 0;
      if (watched[1].revents != 0 && (::read(STDIN_FILENO, &key, 1) <= 0 || key == 'q')) return true;
    }
  }

 private:
  termios before_{};
  bool is_set_ = false;
  sigset_t blocked_before_{};
  UniqueFd ends_;
};

std::string on_screen(const std::string& frame) {
  std::string text(kHome);
  for (const char c : frame) {
    if (c == '\n') text += kRestOfLine;
    text += c;
  }
  text += kRestOfScreen;
  return text;
}

class Supervisor {
 public:
  explicit Supervisor(const TopCommand& command)
      : command_(command),
        socket_(command.runtime_dir + "/control.sock"),
        stub_(control::Control::NewStub(operator_channel(socket_))) {}

  /// False, with a complaint on `err`, when nobody answers.
  bool ask(Sample& sample, std::ostream& err) {
    grpc::ClientContext context;
    set_timeout(context, command_.timeout_s);
    const grpc::Status status = stub_->Status(&context, control::StatusRequest(), &sample.status);
    sample.at = Clock::now();
    if (!status.ok()) err << "ringside: " << complaint_of(status, socket_, command_.runtime_dir) << '\n';
    return status.ok();
  }

 private:
  const TopCommand& command_;
  const std::string socket_;
  const std::unique_ptr<control::Control::Stub> stub_;
};

Interval between(const Sample& before, const Sample& now) {
  return {before.status, now.status, std::chrono::duration<double>(now.at - before.at).count()};
}

}  // namespace

ExitCode run_top(const TopCommand& command, std::ostream& out, std::ostream& err) {
  Supervisor supervisor(command);
  Sample before;
  if (!supervisor.ask(before, err)) return kNobodyAnswers;
  const bool live = !command.json && ::isatty(STDOUT_FILENO) == 1;
  Terminal terminal;
  if (live) out << kOpen << std::flush;
  ExitCode code = kFine;
  while (!terminal.ended_before(before.at + kEvery)) {
    Sample now;
    if (!supervisor.ask(now, err)) {
      code = kNobodyAnswers;
      break;
    }
    const Interval interval = between(before, now);
    out << (command.json ? frame_json(interval)
            : live       ? on_screen(frame_text(interval))
                         : frame_text(interval))
        << std::flush;
    if (!live) break;
    before = std::move(now);
  }
  if (live) out << kClose << std::flush;
  return code;
}

}  // namespace ringside::cli
