#pragma once
// The upstreams of a worker, from its configuration.

#include <memory>
#include <vector>

#include "ringside/link/v1/link.pb.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {

/// In the order of the configuration. `roads` outlives them.
std::vector<std::unique_ptr<Upstream>> make_upstreams(const link::v1::WorkerConfig& config, HttpRoads& roads);

}  // namespace ringside::worker
