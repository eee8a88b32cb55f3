#pragma once
// What tests of streams say again and again.

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "client/cpp/client.h"

namespace ringside::test {

inline Request get(std::string session = "s") {
  Request request;
  request.method = "GET";
  request.path = "/mcp";
  request.session_id = std::move(session);
  return request;
}

inline SteadyTime in(Duration time) { return std::chrono::steady_clock::now() + time; }

/// Reads to the end, which must be a good one.
inline std::string rest_of(Stream& stream) {
  std::string text;
  while (true) {
    auto piece = stream.read(in(std::chrono::seconds(30)));
    EXPECT_TRUE(piece.ok()) << piece.error().message;
    if (!piece.ok() || !*piece) return text;
    text += **piece;
  }
}

/// For what has no event to wait for: looks again until it holds.
template <typename Condition>
bool becomes_true(Condition&& condition) {
  const SteadyTime end = in(std::chrono::seconds(30));
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

/// What a server's threads hand to the test.
template <typename T>
class Handover {
 public:
  void put(T thing) {
    const std::lock_guard lock(mutex_);
    things_.push_back(std::move(thing));
    changed_.notify_one();
  }
  T next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !things_.empty(); });
    T thing = std::move(things_.front());
    things_.pop_front();
    return thing;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> things_;
};

}  // namespace ringside::test
