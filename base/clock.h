#pragma once
// Time comes in by the constructor, so that a test can own it. One Clock may be read from any thread.

#include <chrono>
#include <cstdint>

namespace ringside {

using SteadyTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  /// CLOCK_MONOTONIC, for deadlines and back-off.
  [[nodiscard]] virtual SteadyTime now() const = 0;
  /// Milliseconds since 1970, for what is stored or comes from outside (expiry of an auth context).
  [[nodiscard]] virtual std::int64_t wall_ms() const = 0;
};

/// The machine's own clock; lives as long as the process.
const Clock& system_clock();

/// A clock that moves only when told to.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] SteadyTime now() const override { return now_; }
  [[nodiscard]] std::int64_t wall_ms() const override { return wall_ms_; }
  void advance(Duration by) {
    now_ += by;
    wall_ms_ += std::chrono::duration_cast<std::chrono::milliseconds>(by).count();
  }

 private:
  SteadyTime now_{std::chrono::hours(1)};
  std::int64_t wall_ms_ = 1'700'000'000'000;
};

}  // namespace ringside
