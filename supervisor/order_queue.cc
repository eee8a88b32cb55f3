#include "supervisor/order_queue.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

namespace ringside::supervisor {

Result<std::unique_ptr<OrderQueue>> OrderQueue::create(EventLoop& loop) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return Error{Code::kSystem, errno, "an eventfd cannot be made"};
  std::unique_ptr<OrderQueue> queue(new OrderQueue(std::move(wake)));
  queue->source_ =
      RS_TRY(loop.watch(queue->wake_.get(), [raw = queue.get()](std::uint32_t /*events*/) { raw->run_all(); }));
  queue->source_.want(EPOLLIN);
  return queue;
}

void OrderQueue::close() {
  std::vector<std::function<void()>> dropped;  // go away without the lock
  const std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(orders_);
}

void OrderQueue::post(std::function<void()> order) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    orders_.push_back(std::move(order));
  }
  ::eventfd_write(wake_.get(), 1);
}

void OrderQueue::run_all() {
  eventfd_t ignored = 0;
  ::eventfd_read(wake_.get(), &ignored);
  std::vector<std::function<void()>> orders;
  {
    const std::lock_guard lock(mutex_);
    orders.swap(orders_);
  }
  for (const auto& order : orders) order();
}

}  // namespace ringside::supervisor
