#include "client/cli/frame.h"

#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/latency.h"
#include "base/text.h"
#include "client/cli/table.h"

namespace ringside::cli {
namespace {

namespace control = ringside::control::v1;
using Json = nlohmann::ordered_json;
using Counts = std::vector<std::uint64_t>;

/// What was counted between two moments, as rates.
struct Rates {
  double calls = 0;
  double errors = 0;
  double bytes_in = 0;
  double bytes_out = 0;
  std::optional<double> p50;
  std::optional<double> p99;
};

double fall_to_zero(std::uint64_t now, std::uint64_t before) {
  return now >= before ? static_cast<double>(now - before) : static_cast<double>(now);
}

void add(const control::Latency& latency, Counts& to) {
  to.resize(kLatencyBuckets);
  for (int i = 0; i < latency.buckets_size() && i < static_cast<int>(to.size()); ++i) {
    to[static_cast<std::size_t>(i)] += latency.buckets(i);
  }
}

void set_latencies(const Counts& before, const Counts& now, double seconds, Rates& rates) {
  Counts since(now);
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < since.size(); ++i) {
    if (i < before.size() && since[i] >= before[i]) since[i] -= before[i];
    all += since[i];
  }
  rates.calls = static_cast<double>(all) / seconds;
  if (all == 0) return;
  rates.p50 = latency_quantile(since, 0.5);
  rates.p99 = latency_quantile(since, 0.99);
}

struct Sum {
  Counts counts;
  std::uint64_t errors = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;

  void add_call(const control::CallMeter& call) {
    add(call.latency(), counts);
    errors += call.client_errors() + call.server_errors();
    bytes_in += call.bytes_in();
    bytes_out += call.bytes_out();
  }
};

Rates rates_of(const Sum& before, const Sum& now, double seconds) {
  Rates rates;
  set_latencies(before.counts, now.counts, seconds, rates);
  rates.errors = fall_to_zero(now.errors, before.errors) / seconds;
  rates.bytes_in = fall_to_zero(now.bytes_in, before.bytes_in) / seconds;
  rates.bytes_out = fall_to_zero(now.bytes_out, before.bytes_out) / seconds;
  return rates;
}

Sum all_calls(const control::Meters& meters) {
  Sum sum;
  for (const auto& call : meters.calls()) sum.add_call(call);
  return sum;
}

using Name = std::pair<std::string, std::string>;

std::map<Name, Sum> by_method(const control::Meters& meters) {
  std::map<Name, Sum> sums;
  for (const auto& call : meters.calls()) sums[{call.door(), call.method()}].add_call(call);
  return sums;
}

struct UpstreamRates {
  std::string kind;
  std::string states;
  Rates rates;
};

std::map<std::string, UpstreamRates> upstreams_of(const Interval& interval) {
  std::map<std::string, std::set<std::string>> states;
  for (const auto& worker : interval.now.workers()) {
    for (const auto& each : worker.report().upstreams()) states[each.name()].insert(each.state());
  }
  std::map<std::string, control::UpstreamMeter> before;
  for (const auto& each : interval.before.totals().upstreams()) before[each.name()] = each;
  std::map<std::string, UpstreamRates> out;
  for (const auto& each : interval.now.totals().upstreams()) {
    UpstreamRates& upstream = out[each.name()];
    upstream.kind = each.kind();
    for (const auto& state : states[each.name()]) upstream.states += (upstream.states.empty() ? "" : "/") + state;
    Counts then;
    Counts now;
    add(before[each.name()].latency(), then);
    add(each.latency(), now);
    set_latencies(then, now, interval.seconds, upstream.rates);
    upstream.rates.calls = fall_to_zero(each.calls(), before[each.name()].calls()) / interval.seconds;
    upstream.rates.errors = fall_to_zero(each.failures(), before[each.name()].failures()) / interval.seconds;
  }
  return out;
}

Sum before_of(const control::Worker& worker, const Interval& interval) {
  for (const auto& each : interval.before.workers()) {
    if (each.index() == worker.index() && each.pid() == worker.pid()) return all_calls(each.report().meters());
  }
  return {};
}

std::string state_of(const control::Worker& worker) {
  constexpr std::string_view kPrefix = "STATE_";
  const std::string& name = control::Worker::State_Name(worker.state());
  return name.empty() ? "?" : ascii_lower(name.substr(kPrefix.size()));
}

std::string printed(const char* format, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string rate(double value) { return printed(value < 10 && value > 0 ? "%.1f" : "%.0f", value); }

std::string latency(const std::optional<double>& seconds) {
  if (!seconds) return "-";
  if (*seconds < 1e-3) return printed("%.0f us", *seconds * 1e6);
  if (*seconds < 1) return printed("%.1f ms", *seconds * 1e3);
  return printed("%.1f s", *seconds);
}

std::string mebibytes(std::uint64_t bytes) { return printed("%.0f MiB", static_cast<double>(bytes) / (1 << 20)); }

Json to_json(const Rates& rates) {
  const auto or_null = [](const std::optional<double>& value) { return value ? Json(*value) : Json(); };
  return {{"calls_per_second", rates.calls},       {"errors_per_second", rates.errors},
          {"bytes_in_per_second", rates.bytes_in}, {"bytes_out_per_second", rates.bytes_out},
          {"p50_seconds", or_null(rates.p50)},     {"p99_seconds", or_null(rates.p99)}};
}

}  // namespace

std::string frame_text(const Interval& interval) {
  const auto& now = interval.now;
  const Rates all = rates_of(all_calls(interval.before.totals()), all_calls(now.totals()), interval.seconds);
  std::string text = "ringsided " + now.version() + ", pid " + std::to_string(now.pid()) + ": " + now.health() +
                     (now.health_reason().empty() ? "" : " (" + now.health_reason() + ")") + "\n" + rate(all.calls) +
                     " calls/s, " + rate(all.errors) + " errors/s, p50 " + latency(all.p50) + ", p99 " +
                     latency(all.p99) + "\n\n";
  Table workers({">WORKER", ">PID", "STATE", ">CALLS/S", ">IN FLIGHT", ">P50", ">P99", ">RSS", ">RINGS", ">RESTARTS"});
  for (const auto& worker : now.workers()) {
    const auto& report = worker.report();
    const Rates rates = rates_of(before_of(worker, interval), all_calls(report.meters()), interval.seconds);
    workers.add({std::to_string(worker.index()), std::to_string(worker.pid()), state_of(worker), rate(rates.calls),
                 std::to_string(report.calls_under_way()), latency(rates.p50), latency(rates.p99),
                 mebibytes(report.rss_bytes()), std::to_string(report.rings()), std::to_string(worker.restarts())});
  }
  text += workers.text();
  Table calls({"DOOR", "METHOD", ">CALLS/S", ">ERRORS/S", ">P50", ">P99", ">IN/S", ">OUT/S"});
  auto before = by_method(interval.before.totals());
  for (const auto& [name, sum] : by_method(now.totals())) {
    const Rates rates = rates_of(before[name], sum, interval.seconds);
    calls.add({name.first, name.second, rate(rates.calls), rate(rates.errors), latency(rates.p50), latency(rates.p99),
               printed("%.0f B", rates.bytes_in), printed("%.0f B", rates.bytes_out)});
  }
  if (!calls.empty()) text += "\n" + calls.text();
  Table upstreams({"UPSTREAM", "KIND", "STATE", ">CALLS/S", ">FAILURES/S", ">P50", ">P99"});
  for (const auto& [name, each] : upstreams_of(interval)) {
    upstreams.add({name, each.kind, each.states, rate(each.rates.calls), rate(each.rates.errors),
                   latency(each.rates.p50), latency(each.rates.p99)});
  }
  if (!upstreams.empty()) text += "\n" + upstreams.text();
  const auto& rings = now.totals().rings();
  const auto& rings_before = interval.before.totals().rings();
  const auto per_second = [&](std::uint64_t later, std::uint64_t earlier) {
    return rate(fall_to_zero(later, earlier) / interval.seconds);
  };
  text += "\nrings: " + per_second(rings.doorbells(), rings_before.doorbells()) + " doorbells/s, " +
          per_second(rings.wakes(), rings_before.wakes()) + " wake-ups/s, " +
          per_second(rings.answers_inline() + rings.answers_in_parts(),
                     rings_before.answers_inline() + rings_before.answers_in_parts()) +
          " answers/s found them full\n";
  return text;
}

std::string frame_json(const Interval& interval) {
  const auto& now = interval.now;
  Json frame{{"version", now.version()}, {"health", now.health()}, {"health_reason", now.health_reason()}};
  frame["seconds"] = interval.seconds;
  frame["total"] = to_json(rates_of(all_calls(interval.before.totals()), all_calls(now.totals()), interval.seconds));
  frame["workers"] = Json::array();
  for (const auto& worker : now.workers()) {
    const auto& report = worker.report();
    Json row{{"worker", worker.index()},        {"pid", worker.pid()},
             {"state", state_of(worker)},       {"in_flight", report.calls_under_way()},
             {"rss_bytes", report.rss_bytes()}, {"rings", report.rings()},
             {"restarts", worker.restarts()}};
    row.update(to_json(rates_of(before_of(worker, interval), all_calls(report.meters()), interval.seconds)));
    frame["workers"].push_back(std::move(row));
  }
  frame["calls"] = Json::array();
  auto before = by_method(interval.before.totals());
  for (const auto& [name, sum] : by_method(now.totals())) {
    Json row{{"door", name.first}, {"method", name.second}};
    row.update(to_json(rates_of(before[name], sum, interval.seconds)));
    frame["calls"].push_back(std::move(row));
  }
  const auto& rings = now.totals().rings();
  frame["rings"] = {{"doorbells_total", rings.doorbells()},
                    {"wakes_total", rings.wakes()},
                    {"answers_inline_total", rings.answers_inline()},
                    {"answers_in_parts_total", rings.answers_in_parts()}};
  frame["upstreams"] = Json::array();
  for (const auto& [name, each] : upstreams_of(interval)) {
    Json row{{"upstream", name}, {"kind", each.kind}, {"state", each.states}};
    row.update(to_json(each.rates));
    frame["upstreams"].push_back(std::move(row));
  }
  return frame.dump() + "\n";
}

}  // namespace ringside::cli
