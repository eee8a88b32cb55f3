#include "client/cpp/errand_thread.h"

#include <utility>

namespace ringside {

bool ErrandThread::post(Errand errand) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return false;
  errands_.push_back(std::move(errand));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_one();
  return true;
}

void ErrandThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void ErrandThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopped_ || !errands_.empty(); });
    if (errands_.empty()) return;
    const Errand errand = std::move(errands_.front());
    errands_.pop_front();
    const bool stopped = stopped_;
    lock.unlock();
    errand(stopped);
    lock.lock();
  }
}

}  // namespace ringside
