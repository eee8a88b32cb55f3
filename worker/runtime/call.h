#pragma once
// One call on its way through the runtime. A door makes it, the runtime answers it exactly once.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "mcp/message.h"

namespace ringside::worker {

enum class Door { kRing, kHandle, kGrpc, kHttp };
inline constexpr std::size_t kDoorCount = 4;

class Call {
 public:
  Call(Door door, mcp::Request request) : door_(door), request_(std::move(request)) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  [[nodiscard]] Door door() const { return door_; }
  /// The request; the runtime may move from it. Not to be touched by the door after Runtime::serve.
  [[nodiscard]] mcp::Request& request() { return request_; }

  /// Sends the answer. The first call counts, later ones are dropped. Any thread.
  void answer(mcp::Response response);

  /// The caller gave up (it cancelled, its deadline passed, it is gone): whoever works on the call may stop. Any
  /// thread.
  void cancel();
  [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  /// `hook` runs once, when the call is cancelled before it is answered; at once if it has been. Replaces the hook
  /// before.
  void on_cancel(std::function<void()> hook);

 protected:
  /// Delivers the answer; called at most once, on the thread of answer().
  virtual void deliver(mcp::Response response) = 0;

 private:
  Door door_;
  mcp::Request request_;
  std::atomic<bool> answered_{false};
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::function<void()> hook_;
};

}  // namespace ringside::worker
