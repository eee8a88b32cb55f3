#include "tests/support/scrape.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "tests/support/process.h"

namespace ringside::test {
namespace {

std::string family_of(const std::string& name, const std::map<std::string, std::string>& types) {
  for (const char* suffix : {"_bucket", "_sum", "_count"}) {
    if (!name.ends_with(suffix)) continue;
    const std::string family = name.substr(0, name.size() - std::string(suffix).size());
    if (const auto found = types.find(family); found != types.end() && found->second == "histogram") return family;
  }
  return name;
}

bool is_name(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

/// `labels` as they stand between the braces: NAME="VALUE" with commas between. Nothing we tell needs an escape.
bool are_labels(std::string labels) {
  while (!labels.empty()) {
    const auto equals = labels.find("=\"");
    const auto end = equals == std::string::npos ? equals : labels.find('"', equals + 2);
    if (end == std::string::npos || !is_name(labels.substr(0, equals))) return false;
    if (labels.substr(equals, end - equals).find('\\') != std::string::npos) return false;
    const bool last = end + 1 == labels.size();
    if (!last && (labels[end + 1] != ',' || end + 2 == labels.size())) return false;
    labels.erase(0, last ? end + 1 : end + 2);
  }
  return true;
}

struct Sample {
  std::string name;
  std::string labels;  ///< with their braces; empty: none
  double value = 0;
};

std::optional<Sample> read_sample(const std::string& line) {
  Sample sample;
  const auto space = line.rfind(' ');
  if (space == std::string::npos) return std::nullopt;
  const std::string series = line.substr(0, space);
  const auto brace = series.find('{');
  sample.name = series.substr(0, brace);
  if (brace != std::string::npos) {
    sample.labels = series.substr(brace);
    if (!sample.labels.ends_with('}') || !are_labels(sample.labels.substr(1, sample.labels.size() - 2))) {
      return std::nullopt;
    }
  }
  char* end = nullptr;
  sample.value = std::strtod(line.c_str() + space + 1, &end);
  const bool whole = end == line.c_str() + line.size() && space + 1 < line.size();
  return is_name(sample.name) && whole ? std::optional(sample) : std::nullopt;
}

/// A histogram's buckets must not fall from one bound to the next, and the last is the count.
void check_histograms(Scrape& scrape, const std::vector<std::string>& order) {
  std::string series;
  double last = 0;
  for (const std::string& sample : order) {
    const auto from = sample.find("_bucket{");
    const auto bound = sample.find("le=\"");
    if (from == std::string::npos || bound == std::string::npos) continue;
    std::string labels = sample.substr(from + 8, bound - from - 8);
    if (labels.ends_with(',')) labels.pop_back();
    const std::string now = sample.substr(0, from) + "{" + labels + "}";
    if (now != series) last = 0;
    series = now;
    if (scrape.samples[sample] < last) scrape.faults.push_back("a bucket is less than the one before it: " + sample);
    last = scrape.samples[sample];
    if (sample.substr(bound) != "le=\"+Inf\"}") continue;
    const std::string count = sample.substr(0, from) + "_count" + (labels.empty() ? "" : "{" + labels + "}");
    if (!scrape.samples.contains(count) || scrape.value(count) != last) {
      scrape.faults.push_back("the last bucket is not the count: " + sample);
    }
  }
}

void read_comment(const std::string& line, Scrape& scrape, std::map<std::string, std::string>& helps) {
  std::istringstream words(line);
  std::string hash;
  std::string kind;
  std::string name;
  std::string rest;
  words >> hash >> kind >> name >> std::ws;
  std::getline(words, rest);
  if (hash == "#" && kind == "HELP" && is_name(name) && !rest.empty()) {
    if (!helps.emplace(name, rest).second) scrape.faults.push_back("two HELP lines: " + line);
    return;
  }
  const bool known = rest == "counter" || rest == "gauge" || rest == "histogram";
  if (hash != "#" || kind != "TYPE" || !is_name(name) || !known) {
    return scrape.faults.push_back("neither HELP nor TYPE: " + line);
  }
  if (!scrape.types.emplace(name, rest).second) scrape.faults.push_back("two TYPE lines: " + line);
  if (!helps.contains(name)) scrape.faults.push_back("no HELP before: " + line);
  if (!name.starts_with("ringside_")) scrape.faults.push_back("not one of ours: " + name);
  if ((rest == "counter") != name.ends_with("_total")) scrape.faults.push_back("_total is for counters: " + name);
  if (rest == "histogram" && !name.ends_with("_seconds")) scrape.faults.push_back("no unit: " + name);
}

}  // namespace

double Scrape::value(const std::string& sample) const {
  const auto found = samples.find(sample);
  return found == samples.end() ? 0 : found->second;
}

std::map<std::string, double> Scrape::counters() const {
  std::map<std::string, double> out;
  for (const auto& [sample, value] : samples) {
    const std::string family = family_of(sample.substr(0, sample.find('{')), types);
    if (const auto type = types.find(family); type != types.end() && type->second != "gauge") out[sample] = value;
  }
  return out;
}

Scrape read_scrape(const std::string& page) {
  Scrape scrape;
  std::map<std::string, std::string> helps;
  std::vector<std::string> order;
  if (!page.ends_with('\n')) scrape.faults.emplace_back("the last line has no end");
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) {
      read_comment(line, scrape, helps);
      continue;
    }
    const auto sample = read_sample(line);
    if (!sample) {
      scrape.faults.push_back("not a sample: " + line);
      continue;
    }
    const std::string family = family_of(sample->name, scrape.types);
    if (!scrape.types.contains(family)) scrape.faults.push_back("no TYPE before: " + line);
    const std::string name = sample->name + sample->labels;
    if (!scrape.samples.emplace(name, sample->value).second) scrape.faults.push_back("twice: " + name);
    order.push_back(name);
  }
  check_histograms(scrape, order);
  return scrape;
}

std::string fetch_page(const std::string& socket) {
  return run({"curl", "-s", "-m", "5", "--unix-socket", socket, "http://ringside/metrics"}).out;
}

}  // namespace ringside::test
