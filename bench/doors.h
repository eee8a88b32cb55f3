#pragma once
// The doors benchmark: every door by body size beside the floors, and the marks that hold it to its promise.

#include <string>

namespace ringside::bench {

struct DoorsOptions {
  bool check = false;     ///< judge the marks instead of printing the table
  bool small = false;     ///< few calls, no judgement: proves that the benchmark works
  std::string json_path;  ///< also write the figures here
};

/// 0, or 1 when a mark was missed.
int run_doors(const DoorsOptions& options);

/// A short table of a Ringside that runs already: door, body, p50, calls/s. `tool` is its name of the builtin echo.
int run_table(const std::string& runtime_dir, const std::string& tool);

}  // namespace ringside::bench
