// How the whole is, by what the workers say and by who says nothing.

#include "supervisor/health.h"

#include <gtest/gtest.h>

namespace ringside::supervisor {
namespace {

constexpr WorkerHealth kGood{true, Duration(0), "ok"};
constexpr WorkerHealth kLost{false, Duration(0), ""};
constexpr WorkerHealth kStopped{true, std::chrono::seconds(10), "ok"};
constexpr WorkerHealth kStoreless{true, Duration(0), "not ready"};
constexpr WorkerHealth kAlone{true, Duration(0), "degraded"};
constexpr WorkerHealth kLeaving{true, Duration(0), "draining"};

std::string told(const OverallHealth& health) {
  return std::string(health.status) + (health.ready ? " ready" : "") + (health.serving ? " serving" : "");
}

TEST(Judge, is_ok_only_when_every_worker_that_is_wanted_is_good) {
  EXPECT_EQ(told(judge(false, 2, {kGood, kGood})), "ok ready serving");
  EXPECT_EQ(judge(false, 2, {kGood, kGood}).reason, "");
  EXPECT_EQ(told(judge(false, 2, {kGood, kLost})), "degraded ready serving");
  EXPECT_EQ(judge(false, 2, {kGood, kLost}).reason, "1 of 2 workers are ready");
}

TEST(Judge, is_never_serving_while_nothing_can_be_served) {
  EXPECT_EQ(told(judge(false, 2, {})), "not ready");
  EXPECT_EQ(told(judge(false, 2, {kLost, kLost})), "not ready");
  EXPECT_EQ(told(judge(false, 2, {kStopped, kStopped})), "not ready");
  EXPECT_EQ(told(judge(false, 2, {kStoreless, kStoreless})), "not ready");
  EXPECT_EQ(told(judge(false, 2, {kLeaving, kLost})), "not ready");
  EXPECT_EQ(told(judge(false, 2, {kAlone, kAlone})), "degraded ready");
  EXPECT_EQ(told(judge(true, 2, {kGood, kGood})), "draining");
}

TEST(Judge, says_what_is_wrong) {
  EXPECT_EQ(judge(false, 2, {kStopped, kGood}).reason, "1 of 2 workers say nothing any more");
  EXPECT_EQ(judge(false, 2, {kStoreless, kStoreless}).reason, "2 of 2 workers get no answer from the session store");
  EXPECT_EQ(judge(false, 2, {kAlone, kGood}).reason, "1 of 2 workers reach no upstream");
}

TEST(Judge, does_not_hold_silence_against_a_worker_that_never_reports) {
  EXPECT_EQ(told(judge(false, 1, {{true, std::chrono::hours(1), ""}})), "ok ready serving");
}

}  // namespace
}  // namespace ringside::supervisor
