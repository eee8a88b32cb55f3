#include "base/latency.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringside {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

TEST(Latency, each_record_falls_into_the_bucket_whose_bound_is_not_below_it) {
  LatencyHistogram histogram;
  histogram.record(microseconds(10));
  histogram.record(microseconds(11));
  histogram.record(seconds(3600));
  histogram.record(seconds(-1));
  const auto counts = histogram.counts();
  EXPECT_EQ(counts.front(), 2U);
  EXPECT_EQ(counts[1], 1U);
  EXPECT_EQ(counts.back(), 1U);
  EXPECT_NEAR(histogram.seconds(), 3600.000021, 1e-9);
}

TEST(Latency, a_quantile_is_read_as_prometheus_reads_it) {
  std::vector<std::uint64_t> counts(kLatencyBuckets);
  EXPECT_EQ(latency_quantile(counts, 0.5), 0);
  counts[1] = 100;  // 10 to 25 µs
  EXPECT_NEAR(latency_quantile(counts, 0.5), 17.5e-6, 1e-12);
  counts.back() = 1000;
  EXPECT_EQ(latency_quantile(counts, 0.99), 60);
}

}  // namespace
}  // namespace ringside
