#pragma once
// One worker: takes its configuration from the link, opens its doors, serves until the supervisor says drain (or dies).

#include "rpc/link.h"

namespace ringside::worker {

/// Serves on this thread until the end. Exit codes: 0 drained, 1 could not serve (the supervisor was told why).
int run_worker(rpc::Link link);

}  // namespace ringside::worker
