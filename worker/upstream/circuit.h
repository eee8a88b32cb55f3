#pragma once
// When an upstream that cannot be reached is left alone: after five failures in a row for 1 s, doubling to 30 s each
// time that the one request which is let through then fails, too. Pure.

#include <algorithm>

#include "base/clock.h"

namespace ringside::worker {

class Circuit {
 public:
  static constexpr int kFailures = 5;
  static constexpr Duration kFirst = std::chrono::seconds(1);
  static constexpr Duration kLongest = std::chrono::seconds(30);

  enum class Change { kNone, kOpened, kClosed };

  [[nodiscard]] bool is_open() const { return failures_ >= kFailures; }
  /// Whether a request may go; while the circuit is open that is one at a time, and whoever asks shall say how it
  /// ended.
  [[nodiscard]] bool allows(SteadyTime now) {
    if (!is_open()) return true;
    if (probing_ || now < next_) return false;
    probing_ = true;
    return true;
  }
  Change succeeded() {
    const bool was_open = is_open();
    *this = Circuit();
    return was_open ? Change::kClosed : Change::kNone;
  }
  Change failed(SteadyTime now) {
    ++failures_;
    if (!is_open()) return Change::kNone;
    // What was under way when it opened says nothing new.
    if (failures_ > kFailures && !probing_) return Change::kNone;
    probing_ = false;
    next_ = now + pause_;
    pause_ = std::min(pause_ * 2, kLongest);
    return failures_ == kFailures ? Change::kOpened : Change::kNone;
  }
  /// It ended in a way that says nothing about the upstream.
  void undecided() { probing_ = false; }

 private:
  int failures_ = 0;  // in a row
  bool probing_ = false;
  SteadyTime next_{};
  Duration pause_ = kFirst;
};

}  // namespace ringside::worker
