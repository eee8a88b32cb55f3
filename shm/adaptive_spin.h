#pragma once
// How long to look for work before going to sleep: as long as allowed while that pays, ever shorter while it does not.
// Not thread-safe.

#include "base/clock.h"

namespace ringside::shm {

class AdaptiveSpin {
 public:
  /// `most`: the bound; 0: no spinning at all.
  explicit AdaptiveSpin(Duration most) : most_(most) {}

  /// How long to look this time.
  [[nodiscard]] Duration length() const { return most_ / divisor_; }
  /// Work came while looking.
  void paid() { divisor_ = 1; }
  /// Nothing came while looking, and after so long a sleep something did. Where looking to the bound would have met it,
  /// the next look goes to the bound; else it is half as long, down to a sixty-fourth.
  void slept(Duration asleep) {
    if (asleep + length() < most_) {
      divisor_ = 1;
    } else if (divisor_ < kMostDivisor) {
      divisor_ *= 2;
    }
  }

 private:
  static constexpr int kMostDivisor = 64;
  const Duration most_;
  int divisor_ = 1;
};

}  // namespace ringside::shm
