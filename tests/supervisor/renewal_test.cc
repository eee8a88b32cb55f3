// The policy's promises about workers that are relieved, recycled, stuck, in a crash loop, or wanted no more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "supervisor/policy.h"

namespace ringside::supervisor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

constexpr std::uint64_t kSeed = 7;
constexpr Exit kKilled{.by_signal = true, .number = 9};

/// A pool whose workers do as they are told, on a clock that stands still until it is moved.
class TestPool {
 public:
  explicit TestPool(std::size_t workers, PolicyOptions options = {}) : state(options, workers, kSeed) {
    on(event::Deadline{});
    for (std::size_t i = 0; i < workers; ++i) on(event::Ready{i});
  }

  /// What is to be done: "spawn 0", "kill 1", "abort 1", "drain 0", without announcements.
  std::vector<std::string> on(const Event& event) {
    std::vector<std::string> out;
    for (const auto& action : step(state, event, clock.now())) {
      if (const auto* a = std::get_if<action::Spawn>(&action)) out.push_back("spawn " + std::to_string(a->slot));
      if (const auto* a = std::get_if<action::Kill>(&action)) out.push_back("kill " + std::to_string(a->slot));
      if (const auto* a = std::get_if<action::Abort>(&action)) out.push_back("abort " + std::to_string(a->slot));
      if (const auto* a = std::get_if<action::Drain>(&action)) out.push_back("drain " + std::to_string(a->slot));
    }
    return out;
  }
  std::vector<std::string> after(Duration time) {
    clock.advance(time);
    return on(event::Deadline{});
  }
  std::vector<std::string> beat(std::size_t slot, std::uint64_t progress, std::uint64_t calls = 0,
                                std::uint64_t rss = 0) {
    return on(event::Heartbeat{slot, progress, calls, rss});
  }
  [[nodiscard]] std::size_t ready() const {
    std::size_t count = 0;
    for (const auto& slot : state.slots) count += slot.phase == Phase::kReady ? 1 : 0;
    return count;
  }

  FakeClock clock;
  PolicyState state;
};

TEST(Renewal, each_worker_is_relieved_by_one_that_is_ready_before_it_drains_and_never_two_at_once) {
  TestPool pool(3);
  EXPECT_THAT(pool.on(event::Renew{{}, 3}), ElementsAre("spawn 3"));
  EXPECT_EQ(pool.ready(), 3U);
  EXPECT_FALSE(renewed(pool.state));
  EXPECT_THAT(pool.on(event::Ready{3}), ElementsAre("drain 0", "spawn 4"));
  EXPECT_THAT(pool.on(event::Exited{0, {}}), ElementsAre());
  EXPECT_THAT(pool.on(event::Ready{4}), ElementsAre("drain 1", "spawn 0")) << "a free slot is used again";
  EXPECT_FALSE(renewed(pool.state));
  EXPECT_THAT(pool.on(event::Ready{0}), ElementsAre("drain 2"));
  EXPECT_TRUE(renewed(pool.state));
  for (std::uint32_t place = 0; place < 3; ++place) {
    EXPECT_EQ(pool.state.starts.at(place), 2U) << "its place counts its starts";
  }
}

TEST(Renewal, old_workers_serve_as_long_as_new_ones_do_not_live) {
  TestPool pool(2);
  pool.on(event::Renew{{}, 2});
  for (int i = 0; i < 12; ++i) {
    pool.on(event::Exited{2, kKilled});
    EXPECT_EQ(pool.ready(), 2U);
    pool.after(seconds(31));
    pool.beat(0, static_cast<std::uint64_t>(i) + 1);
    pool.beat(1, static_cast<std::uint64_t>(i) + 1);
  }
  EXPECT_TRUE(broken(pool.state, pool.state.slots[2]));
  EXPECT_THAT(pool.on(event::Ready{2}), ElementsAre("drain 0", "spawn 3"));
}

TEST(Renewal, an_old_worker_that_dies_meanwhile_is_not_started_again) {
  TestPool pool(1);
  EXPECT_THAT(pool.on(event::Renew{{}, 1}), ElementsAre("spawn 1"));
  EXPECT_THAT(pool.on(event::Exited{0, kKilled}), ElementsAre());
  EXPECT_THAT(pool.on(event::Ready{1}), ElementsAre());
  EXPECT_EQ(incumbent(pool.state, 0), 1U);
}

TEST(Renewal, a_second_one_starts_over_what_is_starting) {
  TestPool pool(1);
  EXPECT_THAT(pool.on(event::Renew{{}, 1}), ElementsAre("spawn 1"));
  EXPECT_THAT(pool.on(event::Renew{{}, 1}), ElementsAre("kill 1"));
  EXPECT_THAT(pool.on(event::Exited{1, kKilled}), ElementsAre("spawn 1")) << "its end was wanted: no back-off";
  EXPECT_EQ(pool.state.slots[1].failures, 0U);
  EXPECT_THAT(pool.on(event::Ready{1}), ElementsAre("drain 0"));
}

TEST(Resizing, adds_places_at_the_end_and_drains_them_from_there) {
  TestPool pool(2);
  EXPECT_THAT(pool.on(event::Resize{4}), ElementsAre("spawn 2", "spawn 3"));
  pool.on(event::Ready{2});
  EXPECT_THAT(pool.on(event::Resize{1}), ElementsAre("drain 1", "drain 2", "kill 3"));
  for (std::size_t slot = 1; slot < 4; ++slot) EXPECT_THAT(pool.on(event::Exited{slot, {}}), ElementsAre());
  EXPECT_EQ(pool.ready(), 1U);
  EXPECT_THAT(pool.on(event::Resize{2}), ElementsAre("spawn 1"));
}

TEST(Operator, a_drained_worker_stays_away_until_it_is_restarted) {
  TestPool pool(2);
  EXPECT_THAT(pool.on(event::Retire{1}), ElementsAre("drain 1"));
  EXPECT_THAT(pool.on(event::Exited{1, {}}), ElementsAre());
  EXPECT_THAT(pool.after(seconds(1)), ElementsAre());
  EXPECT_TRUE(renewed(pool.state)) << "nobody is wanted there";
  EXPECT_THAT(pool.on(event::Restart{1}), ElementsAre("spawn 1"));
}

TEST(Operator, a_restarted_worker_drains_once_another_is_ready) {
  TestPool pool(2);
  EXPECT_THAT(pool.on(event::Restart{0}), ElementsAre("spawn 2"));
  EXPECT_THAT(pool.on(event::Ready{2}), ElementsAre("drain 0"));
  EXPECT_EQ(incumbent(pool.state, 0), 2U);
}

TEST(Stuck, a_worker_without_progress_is_suspected_then_aborted_then_killed) {
  TestPool pool(2);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    pool.clock.advance(seconds(9));
    EXPECT_THAT(pool.beat(0, i), ElementsAre());
    EXPECT_THAT(pool.beat(1, i), ElementsAre());
  }
  EXPECT_THAT(pool.beat(1, 3, /*calls=*/1'000'000), ElementsAre()) << "calls are no progress";
  EXPECT_THAT(pool.after(seconds(10)), ElementsAre()) << "its heartbeats may only wait to be read";
  EXPECT_THAT(pool.beat(0, 4), ElementsAre());
  EXPECT_THAT(pool.after(seconds(1)), ElementsAre("abort 1"));
  EXPECT_THAT(pool.after(seconds(5)), ElementsAre("kill 1")) << "it wrote no core in time";
  EXPECT_THAT(pool.on(event::Exited{1, kKilled}), ElementsAre("spawn 1"));
  EXPECT_EQ(pool.state.slots[0].phase, Phase::kReady);
}

TEST(Recycling, a_worker_that_served_enough_is_relieved_one_at_a_time_and_not_all_at_the_same_number) {
  PolicyOptions options;
  options.recycle_calls = 1000;
  TestPool pool(3, options);
  std::map<std::uint64_t, int> limits;
  for (const auto& slot : pool.state.slots) {
    ++limits[slot.calls_limit];
    EXPECT_LE(slot.calls_limit, 1000U) << "seed " << kSeed;
    EXPECT_GE(slot.calls_limit, 750U) << "seed " << kSeed;
  }
  EXPECT_GT(limits.size(), 1U) << "seed " << kSeed;
  EXPECT_THAT(pool.beat(0, 1, 749), ElementsAre());
  EXPECT_THAT(pool.beat(0, 2, 1000), ElementsAre("spawn 3"));
  EXPECT_THAT(pool.beat(1, 1, 1000), ElementsAre()) << "one after the other";
  EXPECT_THAT(pool.on(event::Ready{3}), ElementsAre("drain 0"));
  EXPECT_THAT(pool.beat(2, 1, 1000), ElementsAre()) << "not while one drains";
  EXPECT_THAT(pool.on(event::Exited{0, {}}), ElementsAre("spawn 0"));
  EXPECT_THAT(pool.on(event::Ready{0}), ElementsAre("drain 1"));
}

TEST(Recycling, a_worker_that_grew_is_relieved) {
  PolicyOptions options;
  options.recycle_rss_bytes = 1U << 30U;
  TestPool pool(1, options);
  EXPECT_THAT(pool.beat(0, 1, 5, 700U << 20U), ElementsAre());
  EXPECT_THAT(pool.beat(0, 2, 5, 1U << 30U), ElementsAre("spawn 1"));
}

TEST(Breaker, a_crash_loop_is_tried_seldom_and_leaves_the_others_alone) {
  TestPool pool(2);
  for (int i = 0; i < 8; ++i) {
    pool.on(event::Exited{1, kKilled});
    if (pool.state.slots[1].phase == Phase::kBackingOff && i < 7) {
      pool.clock.advance(pool.state.slots[1].deadline - pool.clock.now());
      pool.on(event::Deadline{});
    }
  }
  EXPECT_TRUE(broken(pool.state, pool.state.slots[1]));
  EXPECT_FALSE(broken(pool.state, pool.state.slots[0]));
  EXPECT_EQ(pool.state.slots[0].phase, Phase::kReady);
  EXPECT_GE(pool.state.slots[1].deadline - pool.clock.now(), seconds(15)) << "seed " << kSeed;
  EXPECT_LE(pool.state.slots[1].deadline - pool.clock.now(), seconds(30)) << "seed " << kSeed;
}

TEST(Breaker, closes_again_when_a_worker_lives_or_an_operator_says_so) {
  TestPool pool(2);
  pool.state.slots[1].failures = 20;
  pool.on(event::Exited{1, kKilled});
  ASSERT_TRUE(broken(pool.state, pool.state.slots[1]));
  EXPECT_THAT(pool.on(event::Restart{1}), ElementsAre("spawn 1"));
  EXPECT_FALSE(broken(pool.state, pool.state.slots[1]));
  pool.state.slots[1].failures = 20;
  pool.on(event::Ready{1});
  EXPECT_TRUE(broken(pool.state, pool.state.slots[1])) << "ready is not yet a good while";
  pool.clock.advance(seconds(5));
  pool.beat(1, 1);
  EXPECT_FALSE(broken(pool.state, pool.state.slots[1]));
}

TEST(Breaker, does_not_keep_the_only_worker_away_for_long) {
  TestPool pool(1);
  pool.state.slots[0].failures = 20;
  pool.on(event::Exited{0, kKilled});
  EXPECT_LE(next_deadline(pool.state) - pool.clock.now(), seconds(10)) << "seed " << kSeed;
}

/// Whatever happens, in whatever order, nobody is lost: no place has two incumbents, at most one relief starts, and a
/// stop ends.
TEST(Renewal, every_order_of_events_keeps_one_worker_in_a_place) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::uint64_t random = seed;
    const auto draw = [&random](std::uint64_t below) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      return (random >> 33U) % below;
    };
    TestPool pool(1 + draw(4));
    for (int i = 0; i < 300; ++i) {
      const std::size_t slot = draw(pool.state.slots.size());
      const auto place = static_cast<std::uint32_t>(draw(pool.state.wanted));
      const std::vector<Event> events{
          event::Ready{slot},      event::Ready{slot},         event::Exited{slot, {}},
          event::LinkClosed{slot}, event::LinkBroken{slot},    event::Heartbeat{slot, draw(1000), 0, 0},
          event::Deadline{},       event::Resize{1 + draw(5)}, event::Renew{{}, 1 + draw(5)},
          event::Restart{place},   event::Retire{place}};
      pool.clock.advance(milliseconds(draw(3000)));
      pool.on(events[draw(events.size())]);
      std::map<std::uint32_t, int> incumbents;
      int reliefs = 0;
      for (const auto& each : pool.state.slots) {
        if (each.phase == Phase::kStopped) continue;
        reliefs += each.relieves ? 1 : 0;
        incumbents[each.place] += each.leaving || each.relieves ? 0 : 1;
      }
      EXPECT_LE(reliefs, 1);
      for (const auto& [at, count] : incumbents) {
        EXPECT_LE(count, 1) << "place " << at;
        EXPECT_TRUE(count == 0 || at < pool.state.wanted) << "place " << at;
      }
    }
    pool.on(event::StopAtOnce{});
    for (std::size_t i = 0; i < pool.state.slots.size(); ++i) pool.on(event::Exited{i, kKilled});
    EXPECT_TRUE(pool.state.finished);
  }
}

}  // namespace
}  // namespace ringside::supervisor
