#include "worker/upstream/timer.h"

namespace ringside::worker {

Timer::~Timer() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Timer::Token Timer::arm(SteadyTime at, std::function<void()> action) {
  const std::lock_guard lock(mutex_);
  const auto token = actions_.emplace(Token{at, ++last_}, std::move(action)).first;
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { run(); });
  } else if (token == actions_.begin()) {
    changed_.notify_all();
  }
  return token->first;
}

void Timer::disarm(const Token& token) {
  std::function<void()> forgotten;  // dies without the lock: what it holds may be the last of its kind
  const std::lock_guard lock(mutex_);
  if (auto node = actions_.extract(token)) forgotten = std::move(node.mapped());
}

void Timer::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (actions_.empty()) {
      changed_.wait(lock);
    } else if (const auto at = actions_.begin()->first.first; system_clock().now() < at) {
      changed_.wait_until(lock, at);
    } else {
      auto node = actions_.extract(actions_.begin());
      lock.unlock();
      node.mapped()();
      node = {};
      lock.lock();
    }
  }
}

}  // namespace ringside::worker
