#pragma once
// Where processes run, and what CPU time they took.

#include <sys/types.h>

#include <string>
#include <vector>

namespace ringside::bench {

enum class Placement { kFree, kSameCpu, kAcrossCpus };
const char* to_string(Placement placement);

/// Puts every thread of this process on CPU 0, and those of `others` on CPU 0 (same) or 1 (across); free: on all CPUs.
void place(Placement placement, const std::vector<pid_t>& others);

/// User and system time of a process so far, in seconds; 0: this one.
double cpu_seconds(pid_t pid);

}  // namespace ringside::bench
