#pragma once
// bench/marks.json beside what was just measured.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/options.h"

namespace ringside::bench {

/// How a mark's figure is measured; it prints how it came about.
struct Measurement {
  std::string mark;
  std::function<double()> measure;
};

/// Measures the marks of a group (or the one that was asked for), prints each beside its figure, and adds both to
/// results["marks"]. How many were missed. Every mark has a measurement, and every measurement a mark.
int judge_marks(const std::string& group, const std::vector<Measurement>& measurements, const Options& options,
                nlohmann::json& results);

/// Writes the results where the options want them.
void save(const Options& options, const nlohmann::json& results);

}  // namespace ringside::bench
