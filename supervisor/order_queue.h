#pragma once
// Orders from gRPC's threads to the loop's: each runs there, in the order they came.

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/event_loop.h"

namespace ringside::supervisor {

class OrderQueue {
 public:
  /// `loop` outlives the queue.
  static Result<std::unique_ptr<OrderQueue>> create(EventLoop& loop);
  ~OrderQueue() = default;
  OrderQueue(const OrderQueue&) = delete;
  OrderQueue& operator=(const OrderQueue&) = delete;

  /// Drops what has not run yet, and all that comes later.
  void close();
  /// Any thread.
  void post(std::function<void()> order);

 private:
  explicit OrderQueue(UniqueFd wake) : wake_(std::move(wake)) {}
  void run_all();

  std::mutex mutex_;
  bool closed_ = false;
  std::vector<std::function<void()>> orders_;
  UniqueFd wake_;
  EventSource source_;  // after what it watches
};

}  // namespace ringside::supervisor
