// What `ringside top` shows.

#include "client/cli/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/latency.h"

namespace ringside::cli {
namespace {

using ::testing::HasSubstr;

void count(control::v1::Meters& meters, std::uint64_t calls, std::uint64_t errors) {
  auto* call = meters.add_calls();
  call->set_door("ring");
  call->set_method("tools/call");
  call->set_server_errors(errors);
  call->set_bytes_in(calls * 100);
  for (std::size_t i = 0; i < kLatencyBuckets; ++i) call->mutable_latency()->add_buckets(i == 1 ? calls : 0);
}

control::v1::StatusResponse house(std::uint64_t calls, std::uint64_t errors, int pid = 11) {
  control::v1::StatusResponse status;
  status.set_version("0.1.0");
  status.set_pid(10);
  status.set_health("degraded");
  status.set_health_reason("1 of 2 workers are ready");
  count(*status.mutable_totals(), calls, errors);
  auto* worker = status.add_workers();
  worker->set_pid(pid);
  worker->set_state(control::v1::Worker::STATE_READY);
  worker->set_restarts(3);
  worker->mutable_report()->set_rss_bytes(64 << 20);
  worker->mutable_report()->set_calls_under_way(5);
  count(*worker->mutable_report()->mutable_meters(), calls, errors);
  auto* upstream = status.mutable_totals()->add_upstreams();
  upstream->set_name("demo");
  upstream->set_kind("http");
  upstream->set_calls(calls);
  return status;
}

TEST(Frame, shows_rates_and_latencies_of_the_time_between_two_answers) {
  const auto before = house(1000, 1);
  const auto now = house(1400, 3);
  EXPECT_EQ(frame_text({before, now, 2}),
            "ringsided 0.1.0, pid 10: degraded (1 of 2 workers are ready)\n"
            "200 calls/s, 1.0 errors/s, p50 18 us, p99 25 us\n"
            "\n"
            "WORKER  PID  STATE  CALLS/S  IN FLIGHT    P50    P99     RSS  RINGS  RESTARTS\n"
            "     0   11  ready      200          5  18 us  25 us  64 MiB      0         3\n"
            "\n"
            "DOOR  METHOD      CALLS/S  ERRORS/S    P50    P99     IN/S  OUT/S\n"
            "ring  tools/call      200       1.0  18 us  25 us  20000 B    0 B\n"
            "\n"
            "UPSTREAM  KIND  STATE  CALLS/S  FAILURES/S  P50  P99\n"
            "demo      http             200           0    -    -\n"
            "\n"
            "rings: 0 doorbells/s, 0 wake-ups/s, 0 answers/s found them full\n");
}

TEST(Frame, a_process_that_is_new_counts_from_nothing) {
  const auto before = house(1000, 0, 11);
  auto now = house(1010, 0, 12);
  now.mutable_workers(0)->mutable_report()->mutable_meters()->Clear();
  count(*now.mutable_workers(0)->mutable_report()->mutable_meters(), 10, 0);
  const auto json = nlohmann::json::parse(frame_json({before, now, 1}));
  EXPECT_EQ(json["workers"][0]["calls_per_second"], 10.0);
  EXPECT_EQ(json["total"]["calls_per_second"], 10.0);
}

TEST(Frame, without_calls_there_are_no_latencies) {
  const auto same = house(5, 0);
  const auto json = nlohmann::json::parse(frame_json({same, same, 1}));
  EXPECT_TRUE(json["total"]["p50_seconds"].is_null());
  EXPECT_EQ(json["health"], "degraded");
  EXPECT_THAT(frame_text({same, same, 1}), HasSubstr("0 calls/s, 0 errors/s, p50 -, p99 -\n"));
}

TEST(Frame, an_answer_of_another_version_is_shown_as_far_as_it_is_known) {
  control::v1::StatusResponse odd;
  odd.add_workers()->set_state(static_cast<control::v1::Worker::State>(99));
  EXPECT_THAT(frame_text({odd, odd, 1}), HasSubstr("?"));
}

}  // namespace
}  // namespace ringside::cli
