#pragma once
// What a call pays whose worker dies: from the kill to its answer by another worker, beside what starting a worker
// takes.

#include <nlohmann/json_fwd.hpp>

#include "bench/options.h"

namespace ringside::bench {

/// The time from a worker's SIGKILL until its ring serves a ping again, as a multiple of a cold worker's start (spawned
/// until its doors are open) in the same house; the median of one house a round. With one worker there is no other
/// to take the ring.
double served_again(int workers, const Options& options, nlohmann::json& results);

}  // namespace ringside::bench
