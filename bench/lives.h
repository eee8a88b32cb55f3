#pragma once
// What the supervisor promises: how soon a service that its first client starts answers, what it takes while nothing
// happens, and that workers which come and go leave nothing behind.

#include "bench/options.h"

namespace ringside::bench {

/// 0, or 1 when a mark was missed.
int run_supervisor(const Options& options);

}  // namespace ringside::bench
