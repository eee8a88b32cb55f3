#pragma once
// Where sessions and their streams are kept, as the configuration says.

#include <functional>

#include "ringside/link/v1/link.pb.h"
#include "worker/store/store.h"

namespace ringside::worker {

/// SQLite in the runtime folder, or the Redis that is named. `changed`: another Ringside on that Redis has ended
/// sessions; on any thread.
Result<Stores> open_stores(const link::v1::WorkerConfig& config, EventLimits limits, std::function<void()> changed);

}  // namespace ringside::worker
