#pragma once
// The other side of every comparison, as good as we can make it, and checked: whoever beats a broken baseline has
// proven nothing.

#include <cstddef>

#include "bench/contestants.h"
#include "bench/options.h"
#include "bench/placement.h"

namespace ringside::bench {

/// A contestant and where it runs.
struct Placed {
  Contestant contestant;
  Placement placement = Placement::kFree;
};

/// Where it is fastest: free, on one CPU, or across; by a short trial of each.
Placed at_its_best(Contestant contestant, std::size_t calls);
/// The fastest of several, each where it is at its best.
Placed best_of(const std::vector<Contestant>& contestants, std::size_t calls);

/// gRPC calls with the body inline, one at a time, where they are fastest.
Placed grpc_baseline(const House& house, Work work, bool parked_calls, std::size_t bytes, const Options& options);
/// The most gRPC calls a second: the best of 1, 8 and 64 calls under way and of 1 to 4 threads, of pinned and free.
Placed grpc_rate_baseline(const House& house, std::size_t bytes, const Options& options);

}  // namespace ringside::bench
