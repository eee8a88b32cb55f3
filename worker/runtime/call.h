#pragma once
// One call on its way through the runtime. A door makes it, the runtime answers it exactly once: whole, or as a stream.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "mcp/message.h"

namespace ringside::worker {

enum class Door { kRing, kHandle, kGrpc, kHttp };
inline constexpr std::size_t kDoorCount = 4;

/// What a call is counted as.
enum class Method : std::uint8_t {
  kInitialize,
  kPing,
  kToolsList,
  kToolsCall,
  kResourcesList,
  kResourcesRead,
  kPromptsList,
  kPromptsGet,
  kComplete,
  kSetLevel,
  kNotification,
  kListen,  ///< a GET
  kEnd,     ///< a DELETE
  kOther,   ///< anything else, and what was refused before its body was read
};
inline constexpr std::size_t kMethodCount = 14;

// Headers that follow a call from the gateway to the upstream and into the log.
inline constexpr std::string_view kRequestIdHeader = "x-request-id";
inline constexpr std::string_view kTraceParentHeader = "traceparent";
inline constexpr std::string_view kTraceStateHeader = "tracestate";

/// What became of a piece of a stream.
enum class Written {
  kMore,  ///< go on
  kSlow,  ///< kept, but the caller reads more slowly than this comes: whoever can wait waits for on_room()
  kCut,   ///< dropped: the caller left more unread than the door keeps. Cancel the call, without locks, and end it.
};

class Call {
 public:
  /// The runtime's own, for the ledger. Written before the call goes to another thread, but for the last.
  struct Notes {
    SteadyTime began{};
    std::uint64_t bytes_in = 0;
    std::uint64_t number = 0;
    Method method = Method::kOther;
    const std::string* upstream = nullptr;  ///< its name, which lives as long as the runtime
    std::atomic<std::uint64_t> bytes_streamed{0};
  };

  Call(Door door, mcp::Request request) : door_(door), request_(std::move(request)) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  [[nodiscard]] Door door() const { return door_; }
  [[nodiscard]] Notes& notes() { return notes_; }
  /// The request; the runtime may move from it. Not to be touched by the door after Runtime::serve.
  [[nodiscard]] mcp::Request& request() { return request_; }
  /// Whether the door can take the answer as a stream.
  [[nodiscard]] bool streams() const { return request_.stream; }

  /// Sends the answer. The first call counts, later ones are dropped. Any thread.
  void answer(mcp::Response response);

  /// Kept until the answer is complete. Before the call is answered; once.
  void hold(std::shared_ptr<void> ticket);

  // A stream instead, where streams() says so: begin(), write() any number of times, end(). Any thread, one at a time.

  /// `head` has a status and headers. False: the call has been answered already, or has begun.
  bool begin(mcp::Response head);
  /// Never blocks. May run the on_room() of other calls, so whoever holds a lock here must not need it there.
  Written write(std::string piece);
  /// The last piece has been written.
  void end();
  /// `hook` runs, on any thread, when there is room again after kSlow. Replaces the hook before.
  void on_room(std::function<void()> hook);

  /// The caller gave up (it cancelled, its deadline passed, it is gone): whoever works on the call may stop. Any
  /// thread.
  void cancel();
  [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  /// `hook` runs once, when the call is cancelled before its answer is complete; at once if it has been. Replaces the
  /// hook before.
  void on_cancel(std::function<void()> hook);

 protected:
  /// Delivers the answer; called at most once, on the thread of answer().
  virtual void deliver(mcp::Response response) = 0;
  /// The same for a stream, on the threads of begin(), write() and end().
  virtual void deliver_head(mcp::Response head);
  virtual Written deliver_piece(std::string piece);
  virtual void deliver_end();
  /// For the door: there is room again. Without locks that the runtime's threads may wait for.
  void has_room();

 private:
  enum class Phase { kOpen, kStreaming, kOver };

  [[nodiscard]] bool over() const { return phase_.load(std::memory_order_acquire) == Phase::kOver; }
  bool advance(Phase from, Phase to);
  void drop_hooks();

  Door door_;
  mcp::Request request_;
  Notes notes_;
  std::atomic<Phase> phase_{Phase::kOpen};
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::function<void()> hook_;
  std::function<void()> room_hook_;
  std::shared_ptr<void> ticket_;
};

}  // namespace ringside::worker
