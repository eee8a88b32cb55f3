#include "bench/marks.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "bench/placement.h"
#include "tests/support/process.h"

namespace ringside::bench {
namespace {

struct Bound {
  const char* key;
  const char* words;
  double value;
  [[nodiscard]] bool met_by(double figure) const {
    return std::string_view(key) == "at_least" ? figure >= value : figure <= value;
  }
};

Bound bound_of(const nlohmann::json& mark) {
  if (mark.contains("at_most")) return {"at_most", "at most", mark.at("at_most")};
  return {"at_least", "at least", mark.at("at_least")};
}

}  // namespace

int judge_marks(const std::string& group, const std::vector<Measurement>& measurements, const Options& options,
                nlohmann::json& results) {
  std::ifstream file(test::source_dir() + "/bench/marks.json");
  const auto marks = nlohmann::json::parse(file).at(group);
  RS_CHECK(marks.size() == measurements.size(), "every measurement has its mark in bench/marks.json");
  int missed = 0;
  std::vector<std::string> verdicts;
  for (const auto& mark : marks) {
    const std::string name = mark.at("name");
    if (!options.only.empty() && options.only != name) continue;
    const auto at = std::find_if(measurements.begin(), measurements.end(),
                                 [&](const Measurement& each) { return each.mark == name; });
    RS_CHECK(at != measurements.end(), "every mark of bench/marks.json has its measurement");
    std::printf("\n%s\n", mark.at("what").get<std::string>().c_str());
    const double line_ns = line_round_trip_ns();
    const double figure = at->measure();
    const Bound bound = bound_of(mark);
    const bool met = bound.met_by(figure);
    char line[160];
    std::snprintf(line, sizeof line, "%-22s %s %g, measured %.3g: %s", name.c_str(), bound.words, bound.value, figure,
                  met ? "met" : "MISSED");
    std::printf("  mark %s (a cache line crosses and returns in %.0f ns before, %.0f ns after)\n", line, line_ns,
                line_round_trip_ns());
    std::fflush(stdout);
    verdicts.emplace_back(line);
    results["marks"].push_back({{"name", name}, {bound.key, bound.value}, {"measured", figure}, {"met", met}});
    missed += met ? 0 : 1;
  }
  std::printf("\nmarks of %s: %zu measured, %d missed%s\n", group.c_str(), verdicts.size(), missed,
              options.small ? " (small mode: figures mean nothing)" : "");
  for (const std::string& line : verdicts) std::printf("  %s\n", line.c_str());
  return missed;
}

void save(const Options& options, const nlohmann::json& results) {
  if (!options.json_path.empty()) std::ofstream(options.json_path) << results.dump(1) << '\n';
}

}  // namespace ringside::bench
