#include "shm/segment_reserve.h"

#include <pthread.h>

#include <utility>

namespace ringside::shm {

SegmentReserve::~SegmentReserve() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Result<Segment> SegmentReserve::take() {
  {
    const std::lock_guard lock(mutex_);
    if (spare_) return *std::exchange(spare_, std::nullopt);
  }
  return Segment::create(bytes_);
}

void SegmentReserve::refill() {
  const std::lock_guard lock(mutex_);
  if (spare_ || stopping_) return;
  refill_ = true;
  if (!thread_.joinable()) thread_ = std::thread([this] { make_spares(); });
  wanted_.notify_one();
}

std::size_t SegmentReserve::spares() {
  const std::lock_guard lock(mutex_);
  return spare_ ? 1 : 0;
}

void SegmentReserve::make_spares() {
  ::pthread_setname_np(::pthread_self(), "ring-spare");
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] { return refill_ || stopping_; });
    if (stopping_) return;
    refill_ = false;
    if (spare_) continue;
    lock.unlock();
    auto made = Segment::create(bytes_);
    lock.lock();
    if (made.ok() && !spare_) spare_ = std::move(*made);
  }
}

}  // namespace ringside::shm
