#pragma once
// Deadlines on one thread, which is made by the first arm(). Thread-safe. The destructor joins: nothing runs after it,
// and an action must not destroy its timer.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/clock.h"

namespace ringside::worker {

class Timer {
 public:
  /// Good for disarm(); the value-initialised one names nothing.
  using Token = std::pair<SteadyTime, std::uint64_t>;

  Timer() = default;
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Runs `action` once, at `at` or soon after, on the timer's thread and without a lock held.
  Token arm(SteadyTime at, std::function<void()> action);
  /// Forgets an action that has not started yet.
  void disarm(const Token& token);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Token, std::function<void()>> actions_;
  std::uint64_t last_ = 0;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace ringside::worker
