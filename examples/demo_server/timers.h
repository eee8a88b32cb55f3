#pragma once
// Calls functions later, on one thread of its own. For tools that wait without holding anybody up.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace ringside::demo {

class Timers {
 public:
  Timers();
  ~Timers();  ///< what has not been called never is; not from a callback
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  /// Any thread. `callback` must not block.
  void after(std::chrono::milliseconds delay, std::function<void()> callback);

 private:
  using Time = std::chrono::steady_clock::time_point;
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Time, std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringside::demo
