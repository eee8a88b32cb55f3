#pragma once
// The descendants of a process, as /proc tells. For ringside-guard: libc only, one thread.

#include <sys/types.h>

#include <vector>

namespace ringside::worker {

/// Every process below `root`, as of now: parents stand before their children. A subreaper gets the orphans of its tree
/// as children, so for one of those nobody is missing but who was born meanwhile.
[[nodiscard]] std::vector<pid_t> descendants_of(pid_t root);

}  // namespace ringside::worker
