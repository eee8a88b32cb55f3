#pragma once
// What both tests of deaths share: how many rounds, by which seed, who died where, what may not leak.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <span>

#include "tests/chaos/doom.h"

namespace ringside::shm::chaos {

/// RINGSIDE_CHAOS_ROUNDS, or the short form.
inline int rounds(int in_short) {
  const char* const given = std::getenv("RINGSIDE_CHAOS_ROUNDS");
  return given != nullptr ? std::atoi(given) : in_short;
}

inline std::uint64_t seed() {
  const char* const given = std::getenv("RINGSIDE_SEED");
  const std::uint64_t chosen = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("RINGSIDE_SEED=%llu\n", static_cast<unsigned long long>(chosen));
  std::fflush(stdout);
  return chosen;
}

/// A place to die at, and at which passing at the most.
struct Place {
  Step step;
  std::uint32_t most;
};

/// Who dies where: each place in turn, and now and then none: those are killed from outside.
class Fate {
 public:
  Fate(std::span<const Place> places, std::mt19937_64& random) : places_(places), random_(random) {}
  Doom next() {
    const std::size_t which = round_++ % (places_.size() + 1);
    if (which == places_.size()) return {};
    const Place& place = places_[which];
    return {static_cast<std::int32_t>(place.step), 1 + static_cast<std::uint32_t>(below(random_, place.most))};
  }
  void died(const Doom& doom, bool by_itself) { ++(by_itself ? deaths_[doom.step] : from_outside_); }
  void report(const char* who) const {
    for (const Place& place : places_) {
      const auto found = deaths_.find(static_cast<std::int32_t>(place.step));
      EXPECT_NE(found, deaths_.end()) << "no " << who << " ever died at step " << static_cast<int>(place.step);
    }
    std::printf("%s deaths: %d from outside;", who, from_outside_);
    for (const auto& [step, count] : deaths_) std::printf(" %d at step %d;", count, step);
    std::printf("\n");
  }

 private:
  const std::span<const Place> places_;
  std::mt19937_64& random_;
  std::size_t round_ = 0;
  int from_outside_ = 0;
  std::map<std::int32_t, int> deaths_;
};

/// Sanitizers keep freed memory for a while.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr long kSlackKib = 512 * 1024;
#else
inline constexpr long kSlackKib = 8 * 1024;
#endif

inline void expect_no_leak(const Footprint& before, const Footprint& after) {
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.segments, before.segments);
  EXPECT_LE(after.resident_kib, before.resident_kib + kSlackKib);
}

}  // namespace ringside::shm::chaos
