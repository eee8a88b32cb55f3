#include "examples/demo_server/timers.h"

#include <utility>

namespace ringside::demo {

Timers::Timers() : thread_([this] { run(); }) {}

Timers::~Timers() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Timers::after(std::chrono::milliseconds delay, std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.emplace(std::chrono::steady_clock::now() + delay, std::move(callback));
  }
  changed_.notify_one();
}

void Timers::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (waiting_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto first = waiting_.begin();
    if (const Time at = first->first; at > std::chrono::steady_clock::now()) {
      changed_.wait_until(lock, at);
      continue;
    }
    auto callback = std::move(first->second);
    waiting_.erase(first);
    lock.unlock();
    callback();
    callback = nullptr;  // what it held goes away outside the lock
    lock.lock();
  }
}

}  // namespace ringside::demo
