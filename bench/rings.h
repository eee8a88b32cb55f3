#pragma once
// The rings benchmark: calls a second, CPU time and sleeps by how many calls are under way; and the marks that hold the
// rings to their promise.

#include "bench/options.h"

namespace ringside::bench {

/// 0, or 1 when a mark was missed.
int run_rings(const Options& options);

}  // namespace ringside::bench
