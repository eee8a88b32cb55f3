#pragma once
// Where processes run.

#include <sys/types.h>

#include <string>
#include <vector>

#include "bench/rounds.h"

namespace ringside::bench {

enum class Placement { kFree, kSameCpu, kAcrossCpus };
const char* to_string(Placement placement);

/// Puts every thread of this process on CPU 0, and those of `others` on CPU 0 (same) or 1 (across); free: on all CPUs.
void place(Placement placement, const std::vector<pid_t>& others);

/// How long a cache line takes from CPU 0 to CPU 1 and back, in nanoseconds: on a virtual machine it tells where the
/// host has put the two just now, which is worth a factor for everything that crosses.
double line_round_trip_ns();

/// The same contestant, placed before each of its turns.
Contestant placed(Contestant contestant, Placement placement);

}  // namespace ringside::bench
