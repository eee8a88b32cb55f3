#pragma once
// The life of one stdio upstream: a thread that polls its child's pipes, its guard and its deadlines. The thread is
// made by the first request. The child is started by a request and again by the first one after its death and the
// back-off; there is never more than one, since the next is not started before the guard of the last is gone.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "mcp/envelope.h"
#include "mcp/sse.h"
#include "worker/upstream/backoff.h"
#include "worker/upstream/conversation.h"
#include "worker/upstream/guarded_child.h"
#include "worker/upstream/stdio_requests.h"

namespace ringside::worker {

/// What a child writes to stderr, line by line into the log. A line is cut, so memory is bounded.
class StderrLog {
 public:
  explicit StderrLog(std::string upstream) : upstream_(std::move(upstream)) {}
  void feed(std::string_view bytes);
  /// The stream ended: what stands there without a line end is a line too.
  void flush();

 private:
  std::string upstream_;
  std::string line_;
};

/// What all children of one stdio upstream share.
struct StdioHub {
  explicit StdioHub(StdioUpstreamOptions options_in) : options(std::move(options_in)), tally(options.name, "stdio") {}

  const StdioUpstreamOptions options;
  Tally tally;
  Announcer announcer;
};

class StdioLoop {
 public:
  /// `persona`: null for the child that all share.
  StdioLoop(std::shared_ptr<StdioHub> hub, PersonaRef persona);
  ~StdioLoop() { finish(); }
  StdioLoop(const StdioLoop&) = delete;
  StdioLoop& operator=(const StdioLoop&) = delete;

  /// Any thread; never blocks.
  void send(UpstreamRequest request, UpstreamDone done);
  /// Any thread.
  void cancel(std::uint64_t id);
  /// Ends every request with kCancelled and the child: closes its stdin, waits 1 s, then drops the lifeline. Does not
  /// wait for that. Any thread.
  void stop();
  /// stop(), and waits. Not from the loop's thread, which may hold the last but one reference.
  void finish();
  /// Its thread has nothing more to do: finish() would not wait.
  [[nodiscard]] bool over() const { return over_.load(std::memory_order_acquire); }
  /// A request is under way.
  [[nodiscard]] bool busy() const { return under_way_.load(std::memory_order_relaxed) != 0; }
  /// A notification, or an answer to a question, for the child that runs; dropped when none does. Any thread.
  void post(std::string message);

 private:
  enum class Phase {
    kDown,       ///< no child
    kHandshake,  ///< initialize was sent
    kReady,
    kEnding,  ///< the child is lost, its guard not gone yet
  };
  struct Submission {
    UpstreamRequest request;
    UpstreamDone done;
  };
  using Command =
      std::variant<Submission, std::uint64_t, std::string>;  // a request, the id of one to cancel, a message

  /// Why a child must end, as its requests are told.
  struct Loss {
    Error written;
    Error unwritten;
  };

  Status push(Command& command);  // takes the command only when it succeeds
  void run();
  bool take_commands();
  void accept(Submission submission);
  void start_child();
  bool poll_once(SteadyTime until);
  void read_output(int rounds);
  void read_errors(int rounds);
  void understand_line(std::string_view line);
  void asked(Incoming question, std::string message);
  void shake_hands(std::string_view answer);
  void lose(const Error& written, const Error& unwritten);
  void end_lost_child();
  void bury_child();
  bool wait_for_guard(Duration time);
  void shut_down();
  [[nodiscard]] bool running() const { return phase_ == Phase::kHandshake || phase_ == Phase::kReady; }

  const std::shared_ptr<StdioHub> hub_;
  const StdioUpstreamOptions& options_;
  Tally& tally_;
  const PersonaRef persona_;
  StdioRequests requests_;  // the loop's, but for the room in its queue

  std::atomic<std::size_t> under_way_{0};
  std::atomic<bool> over_{false};

  std::mutex mutex_;  // what callers and the loop share
  std::vector<Command> commands_;
  bool stopped_ = false;
  UniqueFd wake_;
  std::thread thread_;

  // Everything below belongs to the loop's thread.
  Phase phase_ = Phase::kDown;
  GuardedChild child_;
  SteadyTime handshake_ends_ = SteadyTime::max();
  std::optional<SteadyTime> ready_since_;
  bool was_ready_ = false;    // a child before this one was
  std::optional<Loss> lost_;  // set where it is found out, acted on by end_lost_child()
  bool deaf_ = false;         // what the child says counts no more
  Backoff backoff_;
  mcp::EnvelopeReader reader_;
  std::optional<mcp::LineSplitter> lines_;
  StderrLog errors_;
  std::vector<char> buffer_;
};

}  // namespace ringside::worker
