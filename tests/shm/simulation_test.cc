// Every interleaving of a small ring, and random ones of a larger: nobody sleeps while there is work, nothing is served
// twice without a mark, nothing is answered twice, everything is free in the end. And the same checker finds each of
// the mistakes that one could make there.

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "explore.h"
#include "model.h"
#include "rings.h"

namespace ringside::shm::model {
namespace {

// Publisher, waiTer, waKer, Worker's server, its answers, Death
constexpr Cast kCast{.letters = "PTKWabcD", .agents = kAgents, .death = static_cast<int>(Agent::kDeath)};

/// The same world without what nobody will look at again: numbers of sleeps that are over (each is used once), entries
/// that were read, registers that will be written first. Such worlds have the same future.
World essence(World world) {
  const auto relate = [](std::uint8_t& remembered, std::uint8_t now) { remembered = remembered == now ? 1 : 0; };
  if (world.parked != 0) world.parked = world.parked == world.client_park ? 1 : 2;
  relate(world.woke_for, world.client_park);
  relate(world.rang_for, world.worker_park);
  world.client_park %= 2;
  world.worker_park %= 2;
  for (std::uint8_t* bell : {&world.bell, &world.again_bell}) {
    if (*bell != 0) *bell = *bell == world.generation ? 1 : 2;
  }
  world.generation = 0;
  const auto forget = [](auto& queue, std::uint8_t head, std::uint8_t tail) {
    const auto kept = static_cast<std::uint8_t>(tail - head);
    for (std::uint8_t i = kept + 1U; i < kQueue; ++i) queue[static_cast<std::uint8_t>(head + i) % kQueue] = {};
  };
  forget(world.submissions, world.submission_head, world.submission_tail);
  forget(world.completions, world.completion_head, world.completion_tail);
  if (world.server <= Server::kEntry || world.server > Server::kEffect) world.slot = world.flags = world.is_call = 0;
  if (world.waiter < Waiter::kCheck || world.waiter > Waiter::kFutex) world.tail = 0;
  if (world.waiter > Waiter::kRelease) world.leaving = 0;
  if (world.waiter < Waiter::kAgainFlags || world.waiter > Waiter::kAgainPark) world.again = world.again_slot = 0;
  if (world.publisher == Publisher::kIdle) world.published_slot = 0;
  return world;
}

Verdict explore_ring(const Bounds& bounds, Bug bug = Bug::kNone) {
  Model model(bounds, bug);
  return explore(model, World{}, kCast,
                 [bug](const World& world) { return bug == Bug::kNone ? essence(world) : world; });
}

void expect_sound(const Bounds& bounds) {
  const Verdict verdict = explore_ring(bounds);
  EXPECT_EQ(verdict.fault, "") << verdict.trace;
  EXPECT_GT(verdict.rests, 0U);
  std::printf("%d calls, %d slots, %d cancelled, %d deaths: %zu states, %zu ends\n", bounds.calls, bounds.slots,
              bounds.cancels, bounds.deaths, verdict.states, verdict.rests);
}

TEST(Simulation, two_calls_in_every_order_of_steps) { expect_sound({.calls = 2, .slots = 2}); }

TEST(Simulation, two_calls_through_one_slot_in_every_order_of_steps) { expect_sound({.calls = 2, .slots = 1}); }

TEST(Simulation, a_call_whose_worker_dies_at_every_step) { expect_sound({.calls = 1, .slots = 1, .deaths = 2}); }

TEST(Simulation, two_calls_whose_worker_dies_at_every_step) { expect_sound({.calls = 2, .slots = 2, .deaths = 1}); }

TEST(Simulation, a_cancelled_call_before_another_in_its_slot) { expect_sound({.calls = 2, .slots = 1, .cancels = 1}); }

TEST(Simulation, a_cancelled_call_whose_worker_dies_at_every_step) {
  expect_sound({.calls = 1, .slots = 1, .cancels = 1, .deaths = 1});
}

TEST(Simulation, a_cancelled_call_and_another_whose_worker_dies_at_every_step) {
  expect_sound({.calls = 2, .slots = 1, .cancels = 1, .deaths = 1});
}

TEST(Simulation, more_of_everything_in_every_order_of_steps) {
  // The rest takes ten times as long as all others together, so it is for the long form.
  const bool is_long = std::getenv("RINGSIDE_CHAOS_ROUNDS") != nullptr;
  expect_sound({.calls = 3, .slots = 1});
  if (!is_long) return;
  expect_sound({.calls = 2, .slots = 1, .deaths = 2});
  expect_sound({.calls = 3, .slots = 2});
  expect_sound({.calls = 2, .slots = 2, .cancels = 1, .deaths = 1});
  expect_sound({.calls = 3, .slots = 2, .deaths = 1});
}

TEST(Simulation, seven_calls_with_cancels_and_deaths_at_random) {
  std::mt19937_64 random(test::seed());
  std::size_t steps = 0;
  for (int run = 0; run < 20'000; ++run) {
    const Bounds bounds{.calls = 1 + static_cast<int>(random() % kMostCalls),
                        .slots = 1 + static_cast<int>(random() % kMostSlots),
                        .cancels = static_cast<int>(random() % 2),
                        .deaths = static_cast<int>(random() % 4)};
    Model model(bounds);
    const Verdict verdict = walk(model, World{}, kCast, random);
    ASSERT_EQ(verdict.fault, "") << verdict.trace;
    steps += verdict.states;
  }
  std::printf("%zu steps\n", steps);
}

struct Mistake {
  Bug bug;
  Bounds bounds;
  const char* fault;
};

TEST(Simulation, finds_each_mistake_that_one_could_make) {
  constexpr const char* kSleeps = "nobody sleeps while there is work";
  constexpr const char* kTwice = "a call does not run twice without RETRY";
  const Mistake mistakes[] = {
      {Bug::kWorkerLooksBeforeItParks, {.calls = 1, .slots = 1}, kSleeps},
      {Bug::kClientSleepsOnWhateverItFinds, {.calls = 1, .slots = 1}, kSleeps},
      {Bug::kClientPeeksAtParkBeforeItPublishes, {.calls = 1, .slots = 1}, kSleeps},
      {Bug::kWorkerPeeksAtParkBeforeItPublishes, {.calls = 1, .slots = 1}, kSleeps},
      {Bug::kWorkerSleepsUnderTheSameNumber, {.calls = 2, .slots = 1}, kSleeps},
      {Bug::kClientSleepsUnderTheSameNumber, {.calls = 2, .slots = 1}, kSleeps},
      {Bug::kEarlyWakeCounts, {.calls = 2, .slots = 1}, kSleeps},
      {Bug::kWakesOnce, {.calls = 1, .slots = 1, .deaths = 1}, nullptr},
      {Bug::kRungValueOutlivesItsWorker, {.calls = 2, .slots = 1, .deaths = 1}, kSleeps},
      {Bug::kServedBeforeTheJournal, {.calls = 1, .slots = 1, .deaths = 1}, kTwice},
      {Bug::kCancelForgetsRetry, {.calls = 1, .slots = 1, .cancels = 1, .deaths = 1}, kTwice},
      {Bug::kSuccessorStartsAtZero, {.calls = 1, .slots = 1, .deaths = 1}, nullptr},
      {Bug::kCancelledSlotIsUsedAtOnce, {.calls = 2, .slots = 1, .cancels = 1}, nullptr},
      {Bug::kRepublishesWhatWasAnswered, {.calls = 1, .slots = 1, .deaths = 1}, nullptr},
  };
  for (const Mistake& mistake : mistakes) {
    SCOPED_TRACE(static_cast<int>(mistake.bug));
    const Verdict verdict = explore_ring(mistake.bounds, mistake.bug);
    EXPECT_NE(verdict.fault, "");
    if (mistake.fault != nullptr) {
      EXPECT_EQ(verdict.fault, mistake.fault);
    }
    std::printf("%zu states: %s\n", verdict.states, verdict.fault.c_str());
  }
}

}  // namespace
}  // namespace ringside::shm::model
