#pragma once
// What rings cost besides time: wake-ups under load, CPU when idle.

#include <nlohmann/json_fwd.hpp>

#include "bench/house.h"
#include "bench/options.h"

namespace ringside::bench {

/// Wake-ups per call with `window` pings under way and no spinning: doorbells rung plus client sleeps announced, each
/// of which is answered by one futex wake at most. Nothing pinned, as a user has it; the pinned ones are shown.
double wakeups_per_call(const House& house, std::size_t window, const Options& options, nlohmann::json& results);

/// CPU time of a worker with `rings` attached and idle, in percent of a core.
double idle_cpu_percent(int rings, const Options& options, nlohmann::json& results);

}  // namespace ringside::bench
