#pragma once
// Calls of which a number is always under way: each answer's callback starts the next call, so that nobody needs to be
// woken in between. The same for every door and for the plain gRPC server.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>

namespace ringside::bench {

/// `start(window, index)` starts call number `index`, whose callback, on any thread, says finished().
template <typename Start>
class Window {
 public:
  Window(std::size_t width, std::size_t batch, Start start) : width_(width), batch_(batch), start_(std::move(start)) {}

  // gRPC joins its threads with the process's last channel, and dies if that goes away on one of them: in the tail of
  // the last call's callback, which still holds the channel. So whoever holds it here lets go a little later.
  ~Window() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  /// Makes `batch` calls and waits for the last. One thread.
  void run() {
    started_ = 0;
    finished_ = 0;
    for (std::size_t i = 0; i < width_; ++i) next();
    std::unique_lock lock(mutex_);
    over_.wait(lock, [this] { return finished_.load() == batch_; });
  }

  void finished(bool right) {
    if (!right) all_right_ = false;
    next();
    if (finished_.fetch_add(1) + 1 != batch_) return;
    const std::lock_guard lock(mutex_);
    over_.notify_one();
  }

  [[nodiscard]] bool all_right() const { return all_right_; }

 private:
  void next() {
    const std::size_t index = started_.fetch_add(1);
    if (index < batch_) start_(*this, index);
  }

  const std::size_t width_;
  const std::size_t batch_;
  const Start start_;
  std::atomic<std::size_t> started_{0};
  std::atomic<std::size_t> finished_{0};
  std::atomic<bool> all_right_{true};
  std::mutex mutex_;
  std::condition_variable over_;
};

}  // namespace ringside::bench
