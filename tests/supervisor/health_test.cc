// How the whole is, by what the policy knows, by what the workers say and by who says nothing.

#include "supervisor/health.h"

#include <gtest/gtest.h>

namespace ringside::supervisor {
namespace {

/// A worker as the policy knows it, and what it has said.
struct Worker {
  Phase phase = Phase::kReady;
  WorkerWord word;
  std::uint32_t failures = 0;
};
const Worker kGood{Phase::kReady, {Duration(0), "ok"}};
const Worker kLost{Phase::kBackingOff, {}};
const Worker kLooping{Phase::kBackingOff, {}, 8};
const Worker kStopped{Phase::kReady, {std::chrono::seconds(10), "ok"}};
const Worker kStoreless{Phase::kReady, {Duration(0), "not ready"}};
const Worker kAlone{Phase::kReady, {Duration(0), "degraded"}};
const Worker kLeaving{Phase::kReady, {Duration(0), "draining"}};
const Worker kMute{Phase::kReady, {std::chrono::hours(1), ""}};

OverallHealth judged(const std::vector<Worker>& workers, bool stopping = false) {
  PolicyState policy({}, workers.size(), 1);
  policy.stopping = stopping;
  std::vector<WorkerWord> words;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    policy.slots[i].phase = workers[i].phase;
    policy.slots[i].failures = workers[i].failures;
    words.push_back(workers[i].word);
  }
  return judge(policy, words);
}

std::string told(const OverallHealth& health) {
  return std::string(health.status) + (health.ready ? " ready" : "") + (health.serving ? " serving" : "");
}

TEST(Judge, is_ok_only_when_every_worker_that_is_wanted_is_good) {
  EXPECT_EQ(told(judged({kGood, kGood})), "ok ready serving");
  EXPECT_EQ(judged({kGood, kGood}).reason, "");
  EXPECT_EQ(told(judged({kGood, kLost})), "degraded ready serving");
  EXPECT_EQ(judged({kGood, kLost}).reason, "1 of 2 workers are ready");
}

TEST(Judge, is_never_serving_while_nothing_can_be_served) {
  EXPECT_EQ(told(judge(PolicyState({}, 2, 1), {})), "not ready");
  EXPECT_EQ(told(judged({kLost, kLost})), "not ready");
  EXPECT_EQ(told(judged({kStopped, kStopped})), "not ready");
  EXPECT_EQ(told(judged({kStoreless, kStoreless})), "not ready");
  EXPECT_EQ(told(judged({kLeaving, kLost})), "not ready");
  EXPECT_EQ(told(judged({kAlone, kAlone})), "degraded ready");
  EXPECT_EQ(told(judged({kGood, kGood}, /*stopping=*/true)), "draining");
}

TEST(Judge, says_what_is_wrong) {
  EXPECT_EQ(judged({kStopped, kGood}).reason, "1 of 2 workers say nothing any more");
  EXPECT_EQ(judged({kStoreless, kStoreless}).reason, "2 of 2 workers get no answer from the session store");
  EXPECT_EQ(judged({kAlone, kGood}).reason, "1 of 2 workers reach no upstream");
}

TEST(Judge, names_the_workers_in_a_crash_loop) {
  EXPECT_EQ(told(judged({kGood, kLooping})), "degraded ready serving");
  EXPECT_EQ(judged({kGood, kLooping}).reason, "worker 1 is in a crash loop");
  EXPECT_EQ(judged({kGood, kLooping}).looping, "worker 1");
  EXPECT_EQ(told(judged({kLooping, kLooping})), "not ready");
  EXPECT_EQ(judged({kLooping, kLooping}).reason, "worker 0, worker 1 are in a crash loop");
  EXPECT_EQ(judged({kStoreless, kLooping}).reason, "1 of 2 workers get no answer from the session store");
}

TEST(Judge, does_not_hold_silence_against_a_worker_that_never_reports) {
  EXPECT_EQ(told(judged({kMute})), "ok ready serving");
}

TEST(Judge, counts_a_worker_that_is_ready_and_has_not_spoken_yet) {
  PolicyState policy({}, 1, 1);
  policy.slots[0].phase = Phase::kReady;
  EXPECT_EQ(told(judge(policy, {})), "ok ready serving");
}

}  // namespace
}  // namespace ringside::supervisor
