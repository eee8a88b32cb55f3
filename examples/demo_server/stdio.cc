#include "examples/demo_server/stdio.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "mcp/message.h"
#include "mcp/sse.h"

namespace ringside::demo {
namespace {

constexpr std::size_t kMaxLineBytes = 128ULL << 20U;

/// Whole lines, one writer at a time. Every reply holds it, and it holds `alive`, the writing end of a pipe that closes
/// with the last of them.
class Output {
 public:
  Output(int out, UniqueFd alive) : out_(out), alive_(std::move(alive)) {}

  void line(const std::string& message) {
    const std::lock_guard lock(mutex_);
    (void)write_all(out_, message + '\n');  // nobody reads any more: end of input follows
  }

 private:
  std::mutex mutex_;
  int out_;
  UniqueFd alive_;
};

class LineReply final : public Reply {
 public:
  explicit LineReply(std::shared_ptr<Output> output) : output_(std::move(output)) {}
  void notify(const std::string& message) override { output_->line(message); }
  void answer(const std::string& message) override { output_->line(message); }

 private:
  std::shared_ptr<Output> output_;
};

void serve_line(Server& server, RequestLog& log, const std::shared_ptr<Output>& output, std::string_view text) {
  if (text.find_first_not_of(" \t") == std::string_view::npos) return;
  const std::string body = mcp::padded_copy(text);
  log.record(body);
  const auto message = read_message(body);
  if (const auto* malformed = std::get_if<Malformed>(&message)) return output->line(malformed->answer);
  server.serve(std::get<Message>(message), "", std::make_shared<LineReply>(output));
}

}  // namespace

int serve_stdio(Server& server, RequestLog& log, int in, int out, int stop) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return 1;
  const UniqueFd idle(pipe[0]);  // at its end once the last reply is gone
  auto output = std::make_shared<Output>(out, UniqueFd(pipe[1]));
  mcp::LineSplitter lines(kMaxLineBytes);
  std::vector<char> bytes(64ULL * 1024);
  for (;;) {
    // Without input the only things left to wait for are the replies under way.
    std::array<pollfd, 2> wait = {{{output ? in : idle.get(), POLLIN, 0}, {stop, POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return 1;
    if (wait[1].revents != 0) break;
    if (wait[0].revents == 0) continue;
    if (!output) return 0;
    const ssize_t got = ::read(in, bytes.data(), bytes.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      output.reset();
      continue;
    }
    const auto fed = lines.feed({bytes.data(), static_cast<std::size_t>(got)},
                                [&](std::string_view line) { serve_line(server, log, output, line); });
    if (!fed.ok()) {
      std::fputs("demo_server: a line of input is too long\n", stderr);
      return 1;
    }
  }
  return 0;
}

}  // namespace ringside::demo
