#pragma once
// Asks the session store once in a while whether it still does its work, on a thread of its own: a store that hangs
// hangs nobody else.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/result.h"

namespace ringside::worker {

class StoreWatch {
 public:
  /// `check` outlives the watch. It is asked at once, and again `every` so often after its answer.
  StoreWatch(std::function<Status()> check, Duration every, const Clock& clock);
  /// Waits for the answer that is under way.
  ~StoreWatch();
  StoreWatch(const StoreWatch&) = delete;
  StoreWatch& operator=(const StoreWatch&) = delete;

  /// The last answer was good, and it is not old. Any thread.
  [[nodiscard]] bool good() const;

 private:
  void run();

  const std::function<Status()> check_;
  const Duration every_;
  const Clock& clock_;
  std::atomic<bool> good_{true};
  std::atomic<SteadyTime> answered_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace ringside::worker
