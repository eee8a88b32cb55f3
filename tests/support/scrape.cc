#include "tests/support/scrape.h"

#include <regex>
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

/// A histogram's buckets must not fall from one bound to the next, and the last is the count.
void check_histograms(Scrape& scrape, const std::vector<std::string>& order) {
  std::string series;
  double last = 0;
  static const std::regex bucket(R"re(^([a-z_]+)_bucket\{(.*?),?le="([^"]+)"\}$)re");
  for (const std::string& sample : order) {
    std::smatch match;
    if (!std::regex_match(sample, match, bucket)) continue;
    const std::string now = match[1].str() + "{" + match[2].str() + "}";
    if (now != series) last = 0;
    series = now;
    if (scrape.samples[sample] < last) scrape.faults.push_back("a bucket is less than the one before it: " + sample);
    last = scrape.samples[sample];
    if (match[3] != "+Inf") continue;
    const std::string count = match[1].str() + "_count" + (match[2].length() == 0 ? "" : "{" + match[2].str() + "}");
    if (scrape.value(count) != last) scrape.faults.push_back("the last bucket is not the count: " + sample);
  }
}

void read_comment(const std::string& line, Scrape& scrape, std::map<std::string, std::string>& helps) {
  static const std::regex help(R"(# HELP ([a-z_]+) (.+))");
  static const std::regex type(R"(# TYPE ([a-z_]+) (counter|gauge|histogram))");
  std::smatch match;
  if (std::regex_match(line, match, help)) {
    if (!helps.emplace(match[1], match[2]).second) scrape.faults.push_back("two HELP lines: " + line);
    return;
  }
  if (!std::regex_match(line, match, type)) return scrape.faults.push_back("neither HELP nor TYPE: " + line);
  const std::string name = match[1];
  if (!scrape.types.emplace(name, match[2]).second) scrape.faults.push_back("two TYPE lines: " + line);
  if (!helps.contains(name)) scrape.faults.push_back("no HELP before: " + line);
  if (!name.starts_with("ringside_")) scrape.faults.push_back("not one of ours: " + name);
  if ((match[2] == "counter") != name.ends_with("_total")) scrape.faults.push_back("_total is for counters: " + name);
  if (match[2] == "histogram" && !name.ends_with("_seconds")) scrape.faults.push_back("no unit: " + name);
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
  static const std::regex sample(
      R"re(([a-z_]+)(\{[a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*\})? (-?[0-9.e+-]+|[+-]Inf|NaN|Nan))re");
  Scrape scrape;
  std::map<std::string, std::string> helps;
  std::vector<std::string> order;
  if (!page.ends_with('\n')) scrape.faults.emplace_back("the last line has no end");
  std::istringstream lines(page);
  std::string current;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) {
      read_comment(line, scrape, helps);
      continue;
    }
    std::smatch match;
    if (!std::regex_match(line, match, sample)) {
      scrape.faults.push_back("not a sample: " + line);
      continue;
    }
    const std::string family = family_of(match[1], scrape.types);
    if (!scrape.types.contains(family)) scrape.faults.push_back("no TYPE before: " + line);
    const std::string name = match[1].str() + match[2].str();
    if (!scrape.samples.emplace(name, std::stod(match[3])).second) scrape.faults.push_back("twice: " + name);
    order.push_back(name);
  }
  check_histograms(scrape, order);
  return scrape;
}

std::string fetch_page(const std::string& socket) {
  return run({"curl", "-s", "-m", "5", "--unix-socket", socket, "http://ringside/metrics"}).out;
}

}  // namespace ringside::test
