#pragma once
// Latencies as counts in fixed buckets: what a worker counts, the supervisor adds up and `ringside top` reads back.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ringside {

/// Upper bounds in nanoseconds, from what a ring takes to what an upstream may take; above the last is one bucket more.
inline constexpr std::array<std::int64_t, 20> kLatencyBoundsNs = {
    10'000,      25'000,        50'000,        100'000,       250'000,        500'000,       1'000'000,
    2'500'000,   5'000'000,     10'000'000,    25'000'000,    50'000'000,     100'000'000,   250'000'000,
    500'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000, 60'000'000'000};
inline constexpr std::size_t kLatencyBuckets = kLatencyBoundsNs.size() + 1;

/// Two relaxed additions a record; no locks. Any thread.
class LatencyHistogram {
 public:
  using Counts = std::array<std::uint64_t, kLatencyBuckets>;

  void record(std::chrono::nanoseconds took) {
    const auto at = std::lower_bound(kLatencyBoundsNs.begin(), kLatencyBoundsNs.end(), took.count());
    buckets_[static_cast<std::size_t>(at - kLatencyBoundsNs.begin())].fetch_add(1, std::memory_order_relaxed);
    sum_ns_.fetch_add(static_cast<std::uint64_t>(std::max<std::int64_t>(took.count(), 0)), std::memory_order_relaxed);
  }
  [[nodiscard]] Counts counts() const {
    Counts counts{};
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = buckets_[i].load(std::memory_order_relaxed);
    return counts;
  }
  [[nodiscard]] double seconds() const { return static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) / 1e9; }

 private:
  std::array<std::atomic<std::uint64_t>, kLatencyBuckets> buckets_{};
  std::atomic<std::uint64_t> sum_ns_{0};
};

/// The latency in seconds under which `share` (0 to 1) of the counts lie, with the line inside of a bucket that
/// Prometheus' histogram_quantile draws; of the last bucket its lower bound. 0: there are no counts.
[[nodiscard]] inline double latency_quantile(std::span<const std::uint64_t> counts, double share) {
  std::uint64_t all = 0;
  for (const std::uint64_t count : counts) all += count;
  const double rank = share * static_cast<double>(all);
  double below = 0;
  for (std::size_t i = 0; i < counts.size() && i < kLatencyBoundsNs.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) {
      const double from = i == 0 ? 0 : static_cast<double>(kLatencyBoundsNs[i - 1]);
      return (from + (static_cast<double>(kLatencyBoundsNs[i]) - from) * (rank - below) / here) / 1e9;
    }
    below += here;
  }
  return all == 0 ? 0 : static_cast<double>(kLatencyBoundsNs.back()) / 1e9;
}

}  // namespace ringside
