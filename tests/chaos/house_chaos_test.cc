// A whole house under load while everything in it is killed, stopped, starved and replaced. Its promises, in the order
// in which they are checked: through our clients every call gets one answer, what is safe to repeat never fails, and
// what is not is done once at the most; a foreign gRPC client loses what its dead worker had, and nothing else; nobody
// waits for long; and at the end nothing is left of all that.
//
// RINGSIDE_CHAOS_SECONDS says how long (60), RINGSIDE_SEED which blows and calls. How a wait is measured: on the
// caller's clock from its call to its answer, less what the upstream was told to take; it must be at most 1 s, less the
// time in which the hand kept those from serving who had to (a process stopped or without descriptors or memory, or no
// supervisor at all: then it lasts as long as that does, and 1 s more). All of it shares one CPU, so that the other
// ones are free for what else is tested.

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdio>
#include <cstdlib>

#include "tests/chaos/house_callers.h"
#include "tests/chaos/house_hand.h"
#include "tests/chaos/house_host.h"
#include "tests/chaos/house_troubles.h"
#include "tests/chaos/rounds.h"

namespace ringside::test::chaos {
namespace {

// Connections to "far" that a worker keeps for its next call.
constexpr std::size_t kPooled = 8 * ChaosHouse::kWorkers;
constexpr std::size_t kSlackKib = static_cast<std::size_t>(shm::chaos::kSlackKib);
// And of freed memory that each keeps for the next large body (worker/main.cc).
constexpr std::size_t kKeptKib = 16UL * 1024;

std::chrono::seconds duration() {
  const char* const given = std::getenv("RINGSIDE_CHAOS_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::atoi(given) : 60);
}

/// This process and all that it starts, from now on.
void stay_on_one_cpu() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)::sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

/// Calls of every kind while nothing is done to the house; then nobody is connected any more.
Footprint footprint_after_calm_calls(const ChaosHouse& house, std::uint64_t seed, const char* name) {
  Troubles none;
  Callers callers(house.dir(), none, seed, name);
  EXPECT_TRUE(callers.all_answered(20)) << "everybody is served while nothing happens";
  callers.stop();
  callers.settle(house.effects());
  EXPECT_EQ(none.broken(), "");
  EXPECT_TRUE(eventually([&] { return house.left_alone() && house.whole(); }, std::chrono::seconds(30)));
  return house.footprint();
}

long long ms(Duration time) { return std::chrono::duration_cast<std::chrono::milliseconds>(time).count(); }

void print(const Tally& tally, const Reloader& reloader, const Hand& hand) {
  std::printf(
      "%llu calls through our clients, %llu answers: %llu \"outcome unknown\", %llu while their upstream was down\n",
      static_cast<unsigned long long>(tally.asked), static_cast<unsigned long long>(tally.answers),
      static_cast<unsigned long long>(tally.unknown), static_cast<unsigned long long>(tally.upstream_down));
  std::printf("%llu foreign calls: %llu lost with their worker, %llu turned away\n",
              static_cast<unsigned long long>(tally.foreign), static_cast<unsigned long long>(tally.foreign_lost),
              static_cast<unsigned long long>(tally.foreign_turned_away));
  std::printf("longest wait beyond an upstream: %lld ms, of it %lld ms while somebody could serve\n", ms(tally.longest),
              ms(tally.longest_unexcused));
  std::printf("%d reloads (%d refused); %s\n", reloader.done(), reloader.refused(), hand.report().c_str());
}

void expect_nothing_left(const Footprint& before, const Footprint& after) {
  EXPECT_LE(after.supervisor_descriptors, before.supervisor_descriptors + 1) << "of whoever has asked last";
  EXPECT_LE(after.supervisor_maps, before.supervisor_maps + 16) << "threads of gRPC's pool come and go";
  EXPECT_LE(after.supervisor_kib, before.supervisor_kib + kSlackKib);
  EXPECT_LE(after.worker_descriptors, before.worker_descriptors + kPooled);
  EXPECT_LE(after.worker_maps, before.worker_maps + 48);
  EXPECT_LE(after.worker_kib, before.worker_kib + (kSlackKib + kKeptKib) * ChaosHouse::kWorkers);
  EXPECT_EQ(after.processes, before.processes);
  const auto both = [](const char* what, std::size_t from, std::size_t to) {
    std::printf("%s: %zu before, %zu after\n", what, from, to);
  };
  both("supervisor's descriptors", before.supervisor_descriptors, after.supervisor_descriptors);
  both("supervisor's maps", before.supervisor_maps, after.supervisor_maps);
  both("supervisor's KiB", before.supervisor_kib, after.supervisor_kib);
  both("workers' descriptors", before.worker_descriptors, after.worker_descriptors);
  both("workers' maps", before.worker_maps, after.worker_maps);
  both("workers' KiB", before.worker_kib, after.worker_kib);
  both("processes", before.processes, after.processes);
  if (testing::Test::HasFailure()) std::printf("before: %s\nafter: %s\n", before.kinds.c_str(), after.kinds.c_str());
}

TEST(House, keeps_its_promises_whatever_is_done_to_it) {
  stay_on_one_cpu();
  std::mt19937_64 random(shm::chaos::seed());
  ChaosHouse house;
  const Footprint before = footprint_after_calm_calls(house, random(), "before-");

  Troubles troubles;
  Hand hand(house, troubles, random());
  {
    Callers callers(house.dir(), troubles, random(), "call-");
    Reloader reloader(house, troubles);
    hand.hurt_until(std::chrono::steady_clock::now() + duration());
    reloader.stop();
    EXPECT_TRUE(callers.all_answered(3)) << "everybody is served again";
    callers.stop();
    callers.settle(house.effects());
    const Tally tally = callers.tally();
    print(tally, reloader, hand);
    EXPECT_EQ(tally.answers, tally.asked);
    EXPECT_GT(reloader.done(), 10);
  }
  EXPECT_EQ(troubles.broken(), "");
  EXPECT_TRUE(eventually([&] { return house.whole(); }, std::chrono::seconds(60)));

  expect_nothing_left(before, footprint_after_calm_calls(house, random(), "after-"));
}

}  // namespace
}  // namespace ringside::test::chaos
