#include "worker/runtime/store_watch.h"

#include <utility>

#include "base/log.h"

namespace ringside::worker {
namespace {

// Longer than SQLite waits for a lock: so long without an answer is a disk that hangs.
constexpr Duration kHangs = std::chrono::seconds(5);

}  // namespace

StoreWatch::StoreWatch(std::function<Status()> check, Duration every, const Clock& clock)
    : check_(std::move(check)), every_(every), clock_(clock), answered_(clock.now()), thread_([this] { run(); }) {}

StoreWatch::~StoreWatch() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

bool StoreWatch::good() const {
  return good_.load(std::memory_order_relaxed) &&
         clock_.now() - answered_.load(std::memory_order_relaxed) < every_ + kHangs;
}

void StoreWatch::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    lock.unlock();
    const bool good = check_().ok();
    lock.lock();
    answered_.store(clock_.now(), std::memory_order_relaxed);
    if (good_.exchange(good, std::memory_order_relaxed) != good) {
      if (good) {
        log::info("session store answers again");
      } else {
        log::error("session store does not answer: no session can be opened, so this worker is not ready");
      }
    }
    ended_.wait_for(lock, every_, [this] { return ending_; });
  }
}

}  // namespace ringside::worker
