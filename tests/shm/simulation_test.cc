// Every interleaving of a small ring, and random ones of a larger: nobody sleeps while there is work, nothing is served
// twice without a mark, nothing is answered twice, everything is free in the end. And the same checker finds each of
// the mistakes that one could make there.

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "model.h"
#include "rings.h"

namespace ringside::shm::model {
namespace {

constexpr char kLetters[kAgents + 1] = "PTKWabcD";  // Publisher, waiTer, waKer, Worker's server, its answers, Death

std::uint64_t hash_of(const World& world) {
  constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15;
  unsigned char bytes[(sizeof world + 7) / 8 * 8] = {};
  std::memcpy(bytes, &world, sizeof world);
  std::uint64_t hash = kPrime;
  for (std::size_t i = 0; i < sizeof bytes; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, sizeof word);
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 29U;
  }
  return hash == 0 ? 1 : hash;
}

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

/// Hashes, open addressing: a world is known by 64 bits of it.
class Seen {
 public:
  /// False: it was there.
  bool insert(std::uint64_t hash) {
    if (2 * (count_ + 1) > table_.size()) grow();
    return put(hash);
  }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  bool put(std::uint64_t hash) {
    std::size_t at = hash & (table_.size() - 1);
    for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
      if (table_[at] == hash) return false;
    }
    table_[at] = hash;
    ++count_;
    return true;
  }
  void grow() {
    std::vector<std::uint64_t> old(table_.size() * 2);
    old.swap(table_);
    count_ = 0;
    for (const std::uint64_t hash : old) {
      if (hash != 0) put(hash);
    }
  }
  std::vector<std::uint64_t> table_ = std::vector<std::uint64_t>(1U << 16U);
  std::size_t count_ = 0;
};

struct Verdict {
  std::string fault;  ///< empty: every promise holds
  std::string trace;  ///< who did a step, up to the fault
  std::size_t states = 0;
  std::size_t rests = 0;  ///< worlds in which everything was done
};

/// Depth first through every interleaving.
Verdict explore(const Bounds& bounds, Bug bug = Bug::kNone) {
  struct Frame {
    World world;
    std::uint64_t hash;
    int next = 0;
    bool moved = false;
  };
  Verdict verdict;
  Model model(bounds, bug);
  Seen seen;
  std::unordered_set<std::uint64_t> path;
  std::vector<Frame> stack{{.world = {}, .hash = hash_of({})}};
  seen.insert(stack[0].hash);
  path.insert(stack[0].hash);
  const auto fail = [&](const char* fault, int last) {
    verdict.fault = fault;
    for (const Frame& frame : stack) verdict.trace += kLetters[frame.next == 0 ? last : frame.next - 1];
  };
  while (!stack.empty() && verdict.fault.empty()) {
    Frame& frame = stack.back();
    if (frame.next == kAgents) {
      const char* const fault = frame.moved ? nullptr : model.fault_at_rest(frame.world);
      if (fault != nullptr) fail(fault, 0);
      verdict.rests += frame.moved ? 0 : 1;
      path.erase(frame.hash);
      stack.pop_back();
      continue;
    }
    const int agent = frame.next++;
    World world = frame.world;
    if (!model.step(world, static_cast<Agent>(agent))) continue;
    // Death is no way out: whoever waits for it waits for good.
    frame.moved = frame.moved || agent != static_cast<int>(Agent::kDeath);
    const std::uint64_t hash = hash_of(bug == Bug::kNone ? essence(world) : world);
    if (model.fault() != nullptr) {
      fail(model.fault(), agent);
    } else if (path.contains(hash)) {
      fail("nobody runs in circles", agent);
    } else if (seen.insert(hash)) {
      path.insert(hash);
      stack.push_back({.world = world, .hash = hash});
    }
  }
  verdict.states = seen.size();
  return verdict;
}

/// One run, by chance.
Verdict walk(const Bounds& bounds, std::mt19937_64& random) {
  Verdict verdict;
  Model model(bounds);
  World world;
  // Some runs are lopsided: an agent sleeps long.
  std::uint64_t weights[kAgents];
  for (auto& weight : weights) weight = 1 + random() % 30;
  weights[static_cast<int>(Agent::kDeath)] = 1;
  while (true) {
    int chosen = -1;
    bool moved = false;
    std::uint64_t total = 0;
    World next;
    for (int agent = 0; agent < kAgents; ++agent) {
      World tried = world;
      if (!model.step(tried, static_cast<Agent>(agent))) continue;
      moved = moved || agent != static_cast<int>(Agent::kDeath);
      total += weights[agent];
      if (random() % total >= weights[agent]) continue;
      chosen = agent;
      next = tried;
    }
    if (model.fault() != nullptr) verdict.fault = model.fault();
    if (!moved) {
      if (const char* const fault = model.fault_at_rest(world)) verdict.fault = fault;
      return verdict;
    }
    if (!verdict.fault.empty()) return verdict;
    verdict.trace += kLetters[chosen];
    world = next;
    ++verdict.states;
  }
}

void expect_sound(const Bounds& bounds) {
  const Verdict verdict = explore(bounds);
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
    const Verdict verdict = walk(bounds, random);
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
    const Verdict verdict = explore(mistake.bounds, mistake.bug);
    EXPECT_NE(verdict.fault, "");
    if (mistake.fault != nullptr) {
      EXPECT_EQ(verdict.fault, mistake.fault);
    }
    std::printf("%zu states: %s\n", verdict.states, verdict.fault.c_str());
  }
}

}  // namespace
}  // namespace ringside::shm::model
