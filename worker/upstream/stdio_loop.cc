#include "worker/upstream/stdio_loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "mcp/message.h"

namespace ringside::worker {
namespace {

// `npx` may have to fetch a package first.
constexpr auto kHandshakeTimeout = std::chrono::seconds(120);
constexpr auto kStopTimeout = std::chrono::seconds(1);
// The guard's half second of grace, and time to kill.
constexpr auto kGuardTimeout = std::chrono::seconds(3);
constexpr std::size_t kReadBytes = 64ULL * 1024;
constexpr std::size_t kStderrLineBytes = 1024;
// Reads in a row from one pipe: one while others wait for their turn, and enough to empty a pipe of any usual size when
// the child is gone.
constexpr int kOneRound = 1;
constexpr int kLastRounds = 64;

constexpr Error kGone{Code::kUnavailable, 0, "the upstream is not running"};
constexpr Error kClosed{Code::kCancelled, 0, "the upstream is being closed"};
constexpr Error kDiedInCall{Code::kUpstream, 0, "the upstream ended before it answered"};

SteadyTime now() { return system_clock().now(); }

int poll_timeout_ms(SteadyTime until) {
  if (until == SteadyTime::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

// A dead child's pipe must not raise SIGPIPE, and the process's signals are for its main thread.
void block_all_signals() {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

void StderrLog::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    const auto part = bytes.substr(0, end);
    line_ += part.substr(0, kStderrLineBytes - line_.size());
    if (end == std::string_view::npos) return;
    flush();
    bytes.remove_prefix(end + 1);
  }
}

void StderrLog::flush() {
  if (!line_.empty())
    log::info("upstream stderr name={} line=\"{}\"", upstream_, log::printable(line_, kStderrLineBytes));
  line_.clear();
}

StdioLoop::StdioLoop(std::shared_ptr<StdioHub> hub, PersonaRef persona)
    : hub_(std::move(hub)),
      options_(hub_->options),
      tally_(hub_->tally),
      persona_(std::move(persona)),
      errors_(options_.name) {}

void StdioLoop::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  if (wake_) ::eventfd_write(wake_.get(), 1);
  if (!thread_.joinable()) over_.store(true, std::memory_order_release);
}

void StdioLoop::finish() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void StdioLoop::send(UpstreamRequest request, UpstreamDone done) {
  under_way_.fetch_add(1, std::memory_order_relaxed);
  done = [this, done = std::move(done)](Result<std::string> answer) {
    under_way_.fetch_sub(1, std::memory_order_relaxed);
    done(std::move(answer));
  };
  const auto bytes = request.message.size();
  if (!requests_.reserve(bytes)) return done(Error{Code::kUnavailable, 0, "the upstream does not read its input"});
  Command command = Submission{std::move(request), std::move(done)};
  if (const auto pushed = push(command); !pushed.ok()) {
    requests_.unreserve(bytes);
    std::get<Submission>(command).done(pushed.error());
  }
}

void StdioLoop::cancel(std::uint64_t id) {
  Command command = id;
  if (!push(command).ok()) log::debug("upstream ended before a cancellation name={}", options_.name);
}

void StdioLoop::post(std::string message) {
  Command command = std::move(message);
  if (!push(command).ok()) log::debug("upstream ended before a message name={}", options_.name);
}

Status StdioLoop::push(Command& command) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return kClosed;
  if (!thread_.joinable()) {
    if (!wake_) wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return Error{Code::kUnavailable, errno, "the upstream could not be started"};
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error& fault) {
      log::error("stdio upstream has no thread name={} error=\"{}\"", options_.name, fault.what());
      return Error{Code::kUnavailable, fault.code().value(), "the upstream could not be started"};
    }
  }
  commands_.push_back(std::move(command));
  if (commands_.size() == 1) ::eventfd_write(wake_.get(), 1);
  return {};
}

void StdioLoop::run() {
  block_all_signals();
  buffer_.resize(kReadBytes);
  while (take_commands()) {
    const auto time = now();
    requests_.expire(time);
    if (phase_ == Phase::kHandshake && time >= handshake_ends_) {
      constexpr Error kSlow{Code::kTimeout, 0, "the upstream did not initialize in time"};
      lose(kSlow, kSlow);
    }
    if (running() && !requests_.write_to(child_.input.get()).ok()) lose(kDiedInCall, kGone);
    end_lost_child();
    const auto handshake_ends = phase_ == Phase::kHandshake ? handshake_ends_ : SteadyTime::max();
    if (poll_once(std::min(requests_.next_deadline(), handshake_ends))) bury_child();
  }
  shut_down();
  over_.store(true, std::memory_order_release);
}

bool StdioLoop::take_commands() {
  std::vector<Command> commands;
  bool stopped = false;
  {
    const std::lock_guard lock(mutex_);
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
    commands.swap(commands_);
    stopped = stopped_;
  }
  for (auto& command : commands) {
    if (const auto* id = std::get_if<std::uint64_t>(&command)) {
      requests_.cancel(*id);
    } else if (auto* message = std::get_if<std::string>(&command)) {
      if (phase_ == Phase::kReady && !stopped) requests_.post(std::move(*message));
    } else if (stopped) {
      std::get<Submission>(command).done(kClosed);
    } else {
      accept(std::move(std::get<Submission>(command)));
    }
  }
  return !stopped;
}

void StdioLoop::accept(Submission submission) {
  if (phase_ == Phase::kDown && backoff_.allows(now())) start_child();
  if (!running()) {
    requests_.unreserve(submission.request.message.size());
    return submission.done(kGone);
  }
  requests_.add(std::move(submission.request), std::move(submission.done));
}

void StdioLoop::start_child() {
  auto child = start_guarded(options_);
  if (!child.ok()) {
    tally_.failed();
    backoff_.died(now(), Duration::zero());
    return;
  }
  child_ = std::move(*child);
  phase_ = Phase::kHandshake;
  handshake_ends_ = now() + kHandshakeTimeout;
  ready_since_.reset();
  deaf_ = false;
  lines_.emplace(options_.max_body_bytes);
  requests_.post(initialize_request(options_.client_version, persona_));
  log::info("stdio upstream started name={} guard={}", options_.name, child_.guard);
}

bool StdioLoop::poll_once(SteadyTime until) {
  enum { kWake, kOutput, kErrors, kProcess, kInput };
  const bool writes = running() && requests_.has_output();
  pollfd fds[] = {{wake_.get(), POLLIN, 0},
                  {child_.output.get(), POLLIN, 0},
                  {child_.errors.get(), POLLIN, 0},
                  {child_.process.get(), POLLIN, 0},
                  {writes ? child_.input.get() : -1, POLLOUT, 0}};
  if (::poll(fds, std::size(fds), poll_timeout_ms(until)) <= 0) return false;
  if (fds[kOutput].revents != 0) read_output(kOneRound);
  if (fds[kErrors].revents != 0) read_errors(kOneRound);
  end_lost_child();
  return fds[kProcess].revents != 0;
}

void StdioLoop::read_output(int rounds) {
  for (; rounds > 0 && child_.output; --rounds) {
    const auto count = ::read(child_.output.get(), buffer_.data(), buffer_.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      child_.output.reset();
      return lose(kDiedInCall, kGone);
    }
    if (deaf_) continue;
    const auto read = lines_->feed({buffer_.data(), static_cast<std::size_t>(count)},
                                   [this](std::string_view line) { understand_line(line); });
    if (!read.ok()) {
      deaf_ = true;
      log::warn("upstream wrote a line over the limit name={} limit={}", options_.name, options_.max_body_bytes);
      lose({Code::kTooLarge, 0, "the upstream's answer is over the limit"}, kGone);
    }
  }
}

void StdioLoop::read_errors(int rounds) {
  for (; rounds > 0 && child_.errors; --rounds) {
    const auto count = ::read(child_.errors.get(), buffer_.data(), buffer_.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return child_.errors.reset();
    errors_.feed({buffer_.data(), static_cast<std::size_t>(count)});
  }
}

void StdioLoop::understand_line(std::string_view line) {
  if (deaf_ || line.empty()) return;
  auto message = mcp::padded_copy(line);
  auto incoming = understand(reader_, message);
  switch (incoming.kind) {
    case Incoming::Kind::kAnswer:
      if (phase_ == Phase::kHandshake && incoming.id == kInitializeId) return shake_hands(message);
      if (incoming.id && requests_.answer(*incoming.id, std::move(message))) return;
      return tally_.dropped("an answer that nobody waits for");
    case Incoming::Kind::kQuestion:
      return asked(std::move(incoming), std::move(message));
    case Incoming::Kind::kListChanged:
    case Incoming::Kind::kCancelled:
    case Incoming::Kind::kNotice:
      return hub_->announcer.tell(persona_, std::move(incoming), std::move(message));
    case Incoming::Kind::kProgress:
      if (incoming.id && requests_.notify(*incoming.id, std::move(message))) return;
      return tally_.dropped("progress that nobody waits for");
    case Incoming::Kind::kNoise:
      return tally_.dropped("not a JSON-RPC message", line);
  }
}

/// Which request a question belongs to cannot be told, but when there is only one.
void StdioLoop::asked(Incoming question, std::string message) {
  UpstreamQuestion whole{std::move(message), question.raw_id, question.method};
  const auto asker = requests_.sole_asker();
  if (asker ? asker(std::move(whole)) : hub_->announcer.ask(persona_, std::move(whole))) return;
  if (!requests_.crowded()) return requests_.post(refusal_of(question));
  tally_.dropped("it asks and does not read the answers");
}

void StdioLoop::shake_hands(std::string_view answer) {
  const auto version = agreed_version(options_.name, answer);
  if (!version.ok()) {
    deaf_ = true;
    return lose(version.error(), version.error());
  }
  if (!persona_) hub_->announcer.introduce(answer);
  phase_ = Phase::kReady;
  ready_since_ = now();
  tally_.ready();
  requests_.post(std::string(kInitializedNotification));
  requests_.release();
  log::info("stdio upstream ready name={} version={} own={}", options_.name, *version, persona_ != nullptr);
  if (std::exchange(was_ready_, true) || persona_) hub_->announcer.reopened(persona_);
}

void StdioLoop::lose(const Error& written, const Error& unwritten) {
  if (!lost_) lost_ = Loss{written, unwritten};
}

void StdioLoop::end_lost_child() {
  if (!lost_ || !running()) return;
  // A child that ended may have answered just before.
  read_output(kLastRounds);
  child_.input.reset();
  child_.output.reset();
  child_.lifeline.reset();
  lines_.reset();
  const bool shook_hands = phase_ == Phase::kReady;
  phase_ = Phase::kEnding;
  tally_.failed();
  backoff_.died(now(), shook_hands ? now() - *ready_since_ : Duration::zero());
  const auto loss = *std::exchange(lost_, std::nullopt);
  requests_.fail_all(loss.written, loss.unwritten);
}

void StdioLoop::bury_child() {
  lose(kDiedInCall, kGone);
  end_lost_child();
  lost_.reset();
  read_errors(kLastRounds);
  errors_.flush();
  int status = 0;
  ::waitpid(child_.guard, &status, 0);
  log::info("stdio upstream ended name={} guard={} status={}", options_.name, child_.guard,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  child_ = {};
  phase_ = Phase::kDown;
}

bool StdioLoop::wait_for_guard(Duration time) {
  const auto end = now() + time;
  while (now() < end) {
    if (poll_once(end)) return true;
  }
  return false;
}

void StdioLoop::shut_down() {
  requests_.fail_all(kClosed, kClosed);
  if (phase_ == Phase::kDown) return;
  phase_ = Phase::kEnding;
  deaf_ = true;
  child_.input.reset();
  bool ended = wait_for_guard(kStopTimeout);
  child_.lifeline.reset();
  if (!ended) ended = wait_for_guard(kGuardTimeout);
  if (ended) return bury_child();
  log::error("stdio upstream does not end name={} guard={}", options_.name, child_.guard);
}

}  // namespace ringside::worker
