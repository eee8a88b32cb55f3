#pragma once
// One thread for what a caller must not wait for: connecting again, and answers that are known at once. It starts with
// the first errand, so that a client that never needs it has none.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace ringside {

class ErrandThread {
 public:
  /// `stopped`: the thread is going away, only say so to whoever waits.
  using Errand = std::function<void(bool stopped)>;

  ErrandThread() = default;
  ~ErrandThread() { stop(); }
  ErrandThread(const ErrandThread&) = delete;
  ErrandThread& operator=(const ErrandThread&) = delete;

  /// Runs `errand` soon, on the thread, in order. False after stop(): it will not run. Any thread.
  [[nodiscard]] bool post(Errand errand);
  /// Runs what is queued with `stopped`, and joins. Not on the thread itself.
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Errand> errands_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace ringside
