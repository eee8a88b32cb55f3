#pragma once
// Starting a stdio server under its guard (guard_main.cc). One thread at a time. Nothing leaks into the child: it gets
// its three pipes, the guard the reading end of the lifeline, and the environment is built anew.

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {

/// Our ends of a running child. All are CLOEXEC; the first three are non-blocking. Closing `lifeline` makes the guard
/// end the whole tree; so does the death of this process.
struct GuardedChild {
  UniqueFd input;   ///< the child's stdin, to write
  UniqueFd output;  ///< its stdout
  UniqueFd errors;  ///< its stderr, and the guard's
  UniqueFd lifeline;
  UniqueFd process;  ///< pidfd of the guard: readable once it, and so the whole tree, is gone
  pid_t guard = 0;
};

/// posix_spawn of the guard. kSystem when there is no guard or no room for a process; what was wrong is logged.
Result<GuardedChild> start_guarded(const StdioUpstreamOptions& options);

/// The environment of a child: HOME, PATH, LANG, TZ and USER of ours where set, then the entry's own. For
/// start_guarded.
[[nodiscard]] std::vector<std::string> child_environment(const StdioUpstreamOptions& options);

}  // namespace ringside::worker
