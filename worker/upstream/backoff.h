#pragma once
// How long a child that died stays down: 200 ms, doubling to 10 s, and from the start again after a good life. Pure.

#include <algorithm>

#include "base/clock.h"

namespace ringside::worker {

class Backoff {
 public:
  static constexpr Duration kFirst = std::chrono::milliseconds(200);
  static constexpr Duration kLongest = std::chrono::seconds(10);
  static constexpr Duration kGoodLife = std::chrono::seconds(10);

  [[nodiscard]] bool allows(SteadyTime now) const { return now >= next_; }
  /// A start failed, or a child died after it had served for `served`.
  void died(SteadyTime now, Duration served) {
    if (served >= kGoodLife) delay_ = kFirst;
    next_ = now + delay_;
    delay_ = std::min(delay_ * 2, kLongest);
  }

 private:
  SteadyTime next_{};
  Duration delay_ = kFirst;
};

}  // namespace ringside::worker
