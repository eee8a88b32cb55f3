#include "supervisor/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace ringside::supervisor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

constexpr std::uint64_t kSeed = 42;

/// "spawn 0", "kill 1", "drain 0", "finish", "0: starting -> ready".
std::vector<std::string> words(const std::vector<Action>& actions) {
  struct Word {
    std::string operator()(const action::Spawn& a) const { return "spawn " + std::to_string(a.slot); }
    std::string operator()(const action::Kill& a) const { return "kill " + std::to_string(a.slot); }
    std::string operator()(const action::Abort& a) const { return "abort " + std::to_string(a.slot); }
    std::string operator()(const action::Drain& a) const { return "drain " + std::to_string(a.slot); }
    std::string operator()(const action::Announce& a) const {
      return std::to_string(a.slot) + ": " + std::string(to_string(a.from)) + " -> " + std::string(to_string(a.to));
    }
    std::string operator()(const action::Finish& /*a*/) const { return "finish"; }
  };
  std::vector<std::string> out;
  for (const auto& action : actions) out.push_back(std::visit(Word{}, action));
  return out;
}

/// A pool on a clock that stands still until it is moved.
class TestPool {
 public:
  explicit TestPool(std::size_t workers = 1, PolicyOptions options = {}) : state(options, workers, kSeed) {}

  std::vector<std::string> on(const Event& event) { return words(step(state, event, clock.now())); }
  /// Advances to the next deadline and lets it pass.
  std::vector<std::string> on_deadline() {
    const SteadyTime next = next_deadline(state);
    if (next > clock.now() && next != SteadyTime::max()) clock.advance(next - clock.now());
    return on(event::Deadline{});
  }
  void start_all() {
    on(event::Deadline{});
    for (std::size_t i = 0; i < state.slots.size(); ++i) on(event::Ready{i});
  }
  [[nodiscard]] Phase phase(std::size_t slot = 0) const { return state.slots[slot].phase; }
  [[nodiscard]] Duration until_deadline() const { return next_deadline(state) - clock.now(); }

  FakeClock clock;
  PolicyState state;
};

constexpr Exit kKilled{.by_signal = true, .number = 9};

TEST(Policy, a_new_pool_starts_every_worker) {
  TestPool pool(2);
  EXPECT_THAT(pool.on(event::Deadline{}),
              ElementsAre("0: backing off -> starting", "spawn 0", "1: backing off -> starting", "spawn 1"));
  EXPECT_EQ(pool.until_deadline(), seconds(10));
}

TEST(Policy, a_worker_not_ready_in_time_is_killed_and_started_again) {
  TestPool pool;
  pool.on(event::Deadline{});
  EXPECT_THAT(pool.on_deadline(), ElementsAre("0: starting -> ending", "kill 0"));
  EXPECT_THAT(pool.on(event::Exited{0, kKilled}),
              ElementsAre("0: ending -> backing off", "0: backing off -> starting", "spawn 0"));
}

TEST(Policy, the_first_failure_costs_no_time_and_each_more_costs_about_twice_as_much) {
  TestPool pool;
  pool.start_all();
  EXPECT_THAT(pool.on(event::Exited{0, kKilled}),
              ElementsAre("0: ready -> backing off", "0: backing off -> starting", "spawn 0"));
  Duration whole = milliseconds(50);
  for (int failure = 2; failure < 20; ++failure) {
    EXPECT_THAT(pool.on(event::Exited{0, kKilled}), ElementsAre("0: starting -> backing off"));
    EXPECT_LE(pool.until_deadline(), whole) << "failure " << failure << " seed " << kSeed;
    EXPECT_GE(pool.until_deadline(), whole / 2) << "failure " << failure << " seed " << kSeed;
    whole = std::min<Duration>(whole * 2, seconds(10));
    EXPECT_THAT(pool.on_deadline(), ElementsAre("0: backing off -> starting", "spawn 0"));
  }
}

TEST(Policy, back_offs_of_two_workers_differ) {
  TestPool pool(2);
  pool.start_all();
  for (int failure = 0; failure < 6; ++failure) {
    pool.on(event::Exited{0, kKilled});
    pool.on(event::Exited{1, kKilled});
    if (failure < 5) {
      pool.clock.advance(seconds(10));
      pool.on(event::Deadline{});
    }
  }
  EXPECT_NE(pool.state.slots[0].deadline, pool.state.slots[1].deadline) << "seed " << kSeed;
}

TEST(Policy, a_worker_that_was_ready_for_a_while_is_forgiven) {
  TestPool pool;
  pool.on(event::Deadline{});
  for (int i = 0; i < 5; ++i) {
    pool.on(event::Exited{0, kKilled});
    pool.on_deadline();
  }
  pool.on(event::Ready{0});
  pool.clock.advance(seconds(5));
  EXPECT_THAT(pool.on(event::Exited{0, kKilled}),
              ElementsAre("0: ready -> backing off", "0: backing off -> starting", "spawn 0"));
  EXPECT_EQ(pool.state.slots[0].failures, 1U);
}

TEST(Policy, a_worker_ready_for_a_moment_only_is_not_forgiven) {
  TestPool pool;
  pool.start_all();
  pool.on(event::Exited{0, kKilled});
  pool.on(event::Ready{0});
  pool.clock.advance(milliseconds(4'999));
  EXPECT_THAT(pool.on(event::Exited{0, kKilled}), ElementsAre("0: ready -> backing off"));
}

TEST(Policy, stopping_drains_the_ready_kills_the_starting_and_forgets_the_rest) {
  TestPool pool(3);
  pool.on(event::Deadline{});
  pool.on(event::Ready{0});
  pool.on(event::SpawnFailed{2});
  pool.on(event::SpawnFailed{2});
  EXPECT_THAT(pool.on(event::Stop{}), ElementsAre("0: ready -> draining", "drain 0", "1: starting -> ending", "kill 1",
                                                  "2: backing off -> stopped"));
  EXPECT_THAT(pool.on(event::Stop{}), ElementsAre()) << "once is enough";
  EXPECT_THAT(pool.on(event::Exited{1, kKilled}), ElementsAre("1: ending -> stopped"));
  EXPECT_EQ(pool.until_deadline(), seconds(6));
  EXPECT_THAT(pool.on_deadline(), ElementsAre("0: draining -> ending", "kill 0"));
  EXPECT_THAT(pool.on(event::Exited{0, kKilled}), ElementsAre("0: ending -> stopped", "finish"));
  EXPECT_EQ(next_deadline(pool.state), SteadyTime::max());
  EXPECT_THAT(pool.on(event::Deadline{}), ElementsAre()) << "finished is said once";
}

TEST(Policy, a_worker_that_closed_its_link_is_killed_only_if_it_does_not_end_by_itself) {
  TestPool pool;
  pool.start_all();
  EXPECT_THAT(pool.on(event::LinkClosed{0}), ElementsAre("0: ready -> ending"));
  EXPECT_EQ(pool.until_deadline(), seconds(1));
  EXPECT_THAT(pool.on_deadline(), ElementsAre("0: ending -> ending", "kill 0"));
  EXPECT_EQ(next_deadline(pool.state), SteadyTime::max()) << "once is enough";
}

TEST(Policy, the_drain_says_how_long_a_worker_has) {
  TestPool pool;
  pool.start_all();
  const auto actions = step(pool.state, event::Stop{}, pool.clock.now());
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(std::get<action::Drain>(actions[1]).within, seconds(5));
}

TEST(Policy, an_announcement_tells_the_exit_and_the_wait) {
  TestPool pool;
  pool.on(event::Deadline{});
  pool.on(event::Exited{0, Exit{.by_signal = false, .number = 3}});
  const auto actions = step(pool.state, event::Exited{0, kKilled}, pool.clock.now());
  ASSERT_EQ(actions.size(), 1U);
  const auto& said = std::get<action::Announce>(actions[0]);
  EXPECT_EQ(to_string(said.exit.value_or(Exit{})), "signal 9");
  EXPECT_EQ(said.in, pool.until_deadline());
  EXPECT_EQ(to_string(Exit{.by_signal = false, .number = 3}), "exit 3");
}

TEST(Policy, the_same_seed_decides_the_same) {
  TestPool one(4);
  TestPool two(4);
  for (int i = 0; i < 200; ++i) {
    const std::size_t slot = static_cast<std::size_t>(i * 7) % 4;
    const Event event = i % 3 == 0 ? Event(event::Ready{slot}) : Event(event::Exited{slot, kKilled});
    EXPECT_EQ(one.on(event), two.on(event));
    EXPECT_EQ(one.on_deadline(), two.on_deadline());
  }
}

/// Every phase, and how a slot gets there.
const std::map<Phase, std::function<void(TestPool&)>> kWays{
    {Phase::kBackingOff,
     [](TestPool& pool) {
       pool.on(event::Deadline{});
       pool.on(event::SpawnFailed{0});
       pool.on(event::SpawnFailed{0});
     }},
    {Phase::kStarting, [](TestPool& pool) { pool.on(event::Deadline{}); }},
    {Phase::kReady, [](TestPool& pool) { pool.start_all(); }},
    {Phase::kDraining,
     [](TestPool& pool) {
       pool.start_all();
       pool.on(event::Stop{});
     }},
    {Phase::kEnding,
     [](TestPool& pool) {
       pool.start_all();
       pool.on(event::LinkClosed{0});
     }},
    {Phase::kStopped,
     [](TestPool& pool) {
       pool.start_all();
       pool.on(event::Stop{});
       pool.on(event::Exited{0, kKilled});
     }},
};

struct Row {
  Phase from;
  const char* event_name;
  Event event;
  bool at_deadline;  ///< the slot's deadline has passed
  Phase to;
  std::vector<std::string> does;  ///< without announcements
};

const std::vector<Row> kTable{
    {Phase::kBackingOff, "ready", event::Ready{0}, false, Phase::kBackingOff, {}},
    {Phase::kBackingOff, "exited", event::Exited{0, kKilled}, false, Phase::kBackingOff, {}},
    {Phase::kBackingOff, "spawn failed", event::SpawnFailed{0}, false, Phase::kBackingOff, {}},
    {Phase::kBackingOff, "link closed", event::LinkClosed{0}, false, Phase::kBackingOff, {}},
    {Phase::kBackingOff, "link broken", event::LinkBroken{0}, false, Phase::kBackingOff, {}},
    {Phase::kBackingOff, "too early", event::Deadline{}, false, Phase::kBackingOff, {}},
    {Phase::kBackingOff, "deadline", event::Deadline{}, true, Phase::kStarting, {"spawn 0"}},
    {Phase::kBackingOff, "stop", event::Stop{}, false, Phase::kStopped, {"finish"}},
    {Phase::kBackingOff, "stop at once", event::StopAtOnce{}, false, Phase::kStopped, {"finish"}},
    {Phase::kStarting, "ready", event::Ready{0}, false, Phase::kReady, {}},
    {Phase::kStarting, "exited", event::Exited{0, kKilled}, false, Phase::kStarting, {"spawn 0"}},
    {Phase::kStarting, "spawn failed", event::SpawnFailed{0}, false, Phase::kStarting, {"spawn 0"}},
    {Phase::kStarting, "link closed", event::LinkClosed{0}, false, Phase::kEnding, {}},
    {Phase::kStarting, "link broken", event::LinkBroken{0}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kStarting, "too early", event::Deadline{}, false, Phase::kStarting, {}},
    {Phase::kStarting, "deadline", event::Deadline{}, true, Phase::kEnding, {"kill 0"}},
    {Phase::kStarting, "stop", event::Stop{}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kStarting, "stop at once", event::StopAtOnce{}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kReady, "ready", event::Ready{0}, false, Phase::kReady, {}},
    {Phase::kReady, "exited", event::Exited{0, kKilled}, false, Phase::kStarting, {"spawn 0"}},
    {Phase::kReady, "spawn failed", event::SpawnFailed{0}, false, Phase::kReady, {}},
    {Phase::kReady, "link closed", event::LinkClosed{0}, false, Phase::kEnding, {}},
    {Phase::kReady, "link broken", event::LinkBroken{0}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kReady, "too early", event::Deadline{}, false, Phase::kReady, {}},
    {Phase::kReady, "deadline", event::Deadline{}, true, Phase::kReady, {}},
    {Phase::kReady, "stop", event::Stop{}, false, Phase::kDraining, {"drain 0"}},
    {Phase::kReady, "stop at once", event::StopAtOnce{}, false, Phase::kEnding, {"drain 0", "kill 0"}},
    {Phase::kDraining, "ready", event::Ready{0}, false, Phase::kDraining, {}},
    {Phase::kDraining, "exited", event::Exited{0, kKilled}, false, Phase::kStopped, {"finish"}},
    {Phase::kDraining, "spawn failed", event::SpawnFailed{0}, false, Phase::kDraining, {}},
    {Phase::kDraining, "link closed", event::LinkClosed{0}, false, Phase::kDraining, {}},
    {Phase::kDraining, "link broken", event::LinkBroken{0}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kDraining, "too early", event::Deadline{}, false, Phase::kDraining, {}},
    {Phase::kDraining, "deadline", event::Deadline{}, true, Phase::kEnding, {"kill 0"}},
    {Phase::kDraining, "stop", event::Stop{}, false, Phase::kDraining, {}},
    {Phase::kDraining, "stop at once", event::StopAtOnce{}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kEnding, "ready", event::Ready{0}, false, Phase::kEnding, {}},
    {Phase::kEnding, "exited", event::Exited{0, kKilled}, false, Phase::kStarting, {"spawn 0"}},
    {Phase::kEnding, "spawn failed", event::SpawnFailed{0}, false, Phase::kEnding, {}},
    {Phase::kEnding, "link closed", event::LinkClosed{0}, false, Phase::kEnding, {}},
    {Phase::kEnding, "link broken", event::LinkBroken{0}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kEnding, "deadline", event::Deadline{}, true, Phase::kEnding, {"kill 0"}},
    {Phase::kEnding, "too early", event::Deadline{}, false, Phase::kEnding, {}},
    {Phase::kEnding, "stop", event::Stop{}, false, Phase::kEnding, {}},
    {Phase::kEnding, "stop at once", event::StopAtOnce{}, false, Phase::kEnding, {"kill 0"}},
    {Phase::kStopped, "ready", event::Ready{0}, false, Phase::kStopped, {}},
    {Phase::kStopped, "exited", event::Exited{0, kKilled}, false, Phase::kStopped, {}},
    {Phase::kStopped, "spawn failed", event::SpawnFailed{0}, false, Phase::kStopped, {}},
    {Phase::kStopped, "link closed", event::LinkClosed{0}, false, Phase::kStopped, {}},
    {Phase::kStopped, "link broken", event::LinkBroken{0}, false, Phase::kStopped, {}},
    {Phase::kStopped, "too early", event::Deadline{}, false, Phase::kStopped, {}},
    {Phase::kStopped, "stop", event::Stop{}, false, Phase::kStopped, {}},
    {Phase::kStopped, "stop at once", event::StopAtOnce{}, false, Phase::kStopped, {}},
};

TEST(Policy, every_phase_answers_every_event_as_the_table_says) {
  for (const auto& row : kTable) {
    SCOPED_TRACE(std::string(to_string(row.from)) + " x " + row.event_name);
    TestPool pool;
    kWays.at(row.from)(pool);
    ASSERT_EQ(pool.phase(), row.from);
    if (row.at_deadline) pool.clock.advance(pool.until_deadline());
    auto did = pool.on(row.event);
    // A transition is announced, and nothing else is.
    const auto announced =
        std::erase_if(did, [](const std::string& word) { return word.find("->") != std::string::npos; });
    EXPECT_EQ(announced > 0, row.to != row.from || !row.does.empty());
    EXPECT_EQ(pool.phase(), row.to);
    EXPECT_EQ(did, row.does);
  }
}

TEST(PolicyDeathTest, an_event_for_a_slot_that_does_not_exist_is_a_bug) {
  TestPool pool;
  EXPECT_DEATH(pool.on(event::Ready{1}), "an event is about a slot that exists");
}

}  // namespace
}  // namespace ringside::supervisor
