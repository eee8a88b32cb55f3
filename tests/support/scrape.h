#pragma once
// A page of metrics, read as strictly as Prometheus' own linter reads it.

#include <map>
#include <string>
#include <vector>

namespace ringside::test {

struct Scrape {
  std::map<std::string, std::string> types;  ///< by family
  std::map<std::string, double> samples;     ///< by name and labels, as they stand
  std::vector<std::string> faults;           ///< what is wrong with the page; each a sentence

  /// Every sample that must never fall: counters, and the buckets, sums and counts of histograms.
  [[nodiscard]] std::map<std::string, double> counters() const;
  /// 0 when there is no such sample.
  [[nodiscard]] double value(const std::string& sample) const;
};

[[nodiscard]] Scrape read_scrape(const std::string& page);
/// GET /metrics at a Unix socket; empty when nobody answers.
[[nodiscard]] std::string fetch_page(const std::string& socket);

}  // namespace ringside::test
