#pragma once
// The doors benchmark: every door by body size beside the floors, and the marks that hold it to its promise.

#include <string>

#include "bench/options.h"

namespace ringside::bench {

/// 0, or 1 when a mark was missed.
int run_doors(const Options& options);

/// A short table of a Ringside that runs already: door, body, p50, calls/s. `tool` is its name of the builtin echo.
int run_table(const std::string& runtime_dir, const std::string& tool);

}  // namespace ringside::bench
