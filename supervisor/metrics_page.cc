#include "supervisor/metrics_page.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/latency.h"

namespace ringside::supervisor {
namespace {

using control::v1::StatusResponse;
using control::v1::Worker;
using prometheus::ClientMetric;
using prometheus::MetricType;
using Labels = std::initializer_list<std::pair<const char*, std::string>>;

/// Families in the order they are named.
class Page {
 public:
  /// What follows belongs to this family. `name` and `help` as the exposition format has them.
  void family(MetricType type, std::string name, std::string help) {
    families_.push_back({std::move(name), std::move(help), type, {}});
  }
  void add(Labels labels, double value) {
    ClientMetric& metric = labelled(labels);
    (families_.back().type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  }
  void add(Labels labels, std::uint64_t value) { add(labels, static_cast<double>(value)); }
  void add(Labels labels, const control::v1::Latency& latency) {
    auto& histogram = labelled(labels).histogram;
    for (int i = 0; i < static_cast<int>(kLatencyBuckets); ++i) {
      histogram.sample_count += i < latency.buckets_size() ? latency.buckets(i) : 0;
      const auto at = static_cast<std::size_t>(i);
      const double bound = at < kLatencyBoundsNs.size() ? static_cast<double>(kLatencyBoundsNs[at]) / 1e9
                                                        : std::numeric_limits<double>::infinity();
      histogram.bucket.push_back({histogram.sample_count, bound});
    }
    histogram.sample_sum = latency.seconds();
  }
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  ClientMetric& labelled(Labels labels) {
    ClientMetric& metric = families_.back().metric.emplace_back();
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
    return metric;
  }

  std::vector<prometheus::MetricFamily> families_;
};

constexpr auto kCounter = MetricType::Counter;
constexpr auto kGauge = MetricType::Gauge;

std::uint64_t count_of(const control::v1::Latency& latency) {
  std::uint64_t count = 0;
  for (const std::uint64_t each : latency.buckets()) count += each;
  return count;
}

void add_house(const StatusResponse& status, double now_s, Page& page) {
  page.family(kGauge, "ringside_build_info", "Always 1; the label says which Ringside runs.");
  page.add({{"version", status.version()}}, 1.0);
  page.family(kGauge, "ringside_start_time_seconds", "When the supervisor started, in seconds since 1970.");
  page.add({}, now_s - static_cast<double>(status.uptime_ms()) / 1000);
  page.family(kGauge, "ringside_health", "1 for what the health is, 0 for what it is not.");
  for (const char* each : {"ok", "degraded", "not ready", "draining"}) {
    page.add({{"status", each}}, status.health() == each ? 1.0 : 0.0);
  }
  page.family(kCounter, "ringside_peers_refused_total", "Connections of users who may not connect, by socket.");
  for (const auto& [socket, count] : status.refused_peers()) page.add({{"socket", socket}}, count);
}

void add_workers(const StatusResponse& status, Page& page) {
  // While one worker relieves another a place has two; a series may stand on the page once.
  const auto each = [&](auto&& value, auto&& both) {
    std::map<std::uint32_t, double> places;
    for (const Worker& worker : status.workers()) {
      const auto own = static_cast<double>(value(worker));
      const auto [place, alone] = places.emplace(worker.index(), own);
      if (!alone) place->second = both(place->second, own);
    }
    for (const auto& [place, sum] : places) page.add({{"worker", std::to_string(place)}}, sum);
  };
  const auto sum = [](double a, double b) { return a + b; };
  const auto larger = [](double a, double b) { return std::max(a, b); };
  page.family(kGauge, "ringside_workers_wanted", "Workers that the configuration asks for.");
  page.add({}, std::uint64_t{status.workers_wanted()});
  page.family(kGauge, "ringside_worker_up", "1 while the worker takes connections.");
  each([](const Worker& worker) { return worker.state() == Worker::STATE_READY ? 1.0 : 0.0; }, larger);
  page.family(kGauge, "ringside_worker_resident_bytes", "Memory of the worker's process, without its children.");
  each([](const Worker& worker) { return worker.report().rss_bytes(); }, sum);
  page.family(kGauge, "ringside_worker_calls_in_flight", "Calls that the worker has and has not answered.");
  each([](const Worker& worker) { return worker.report().calls_under_way(); }, sum);
  page.family(kGauge, "ringside_worker_connections", "Open connections, without rings.");
  each([](const Worker& worker) { return worker.report().connections_open(); }, sum);
  page.family(kGauge, "ringside_worker_rings", "Attached rings.");
  each([](const Worker& worker) { return worker.report().rings(); }, sum);
  page.family(kGauge, "ringside_worker_ring_bytes", "Shared memory of the attached rings, both directions.");
  each([](const Worker& worker) { return worker.report().ring_bytes(); }, sum);
  page.family(kGauge, "ringside_worker_sessions_cached", "Sessions that the worker has in memory.");
  each([](const Worker& worker) { return worker.report().sessions_cached(); }, sum);
  page.family(kGauge, "ringside_worker_listening_streams", "Streams that clients opened with GET.");
  each([](const Worker& worker) { return worker.report().listening_streams(); }, sum);
  page.family(kCounter, "ringside_worker_restarts_total", "Times that the worker was started again.");
  each([](const Worker& worker) { return worker.restarts(); }, larger);
  page.family(kCounter, "ringside_worker_exits_total", "Worker processes that ended, by how.");
  for (const auto& [how, count] : status.worker_exits()) page.add({{"cause", how}}, count);
}

void add_calls(const StatusResponse& status, Page& page) {
  const auto each = [&](auto&& value) {
    for (const auto& call : status.totals().calls()) {
      page.add({{"door", call.door()}, {"method", call.method()}}, value(call));
    }
  };
  page.family(kCounter, "ringside_calls_total", "Calls that were answered.");
  each([](const auto& call) { return count_of(call.latency()); });
  page.family(kCounter, "ringside_call_errors_total",
              "Calls answered with an HTTP status of 400 or more, by its class.");
  for (const auto& call : status.totals().calls()) {
    page.add({{"door", call.door()}, {"method", call.method()}, {"status", "4xx"}}, call.client_errors());
    page.add({{"door", call.door()}, {"method", call.method()}, {"status", "5xx"}}, call.server_errors());
  }
  page.family(MetricType::Histogram, "ringside_call_duration_seconds",
              "From a call's arrival in a worker to its answer.");
  for (const auto& call : status.totals().calls()) {
    page.add({{"door", call.door()}, {"method", call.method()}}, call.latency());
  }
  page.family(kCounter, "ringside_call_received_bytes_total", "Bytes of requests' bodies.");
  each([](const auto& call) { return call.bytes_in(); });
  page.family(kCounter, "ringside_call_sent_bytes_total", "Bytes of answers' bodies.");
  each([](const auto& call) { return call.bytes_out(); });
  page.family(kCounter, "ringside_streams_total", "Answers that came as streams.");
  each([](const auto& call) { return call.streams(); });
}

void add_rings(const StatusResponse& status, Page& page) {
  const auto& rings = status.totals().rings();
  page.family(kCounter, "ringside_ring_doorbells_total", "Times that a client woke a worker's ring thread.");
  page.add({}, rings.doorbells());
  page.family(kCounter, "ringside_ring_wakes_total", "Times that an answer woke a client.");
  page.add({}, rings.wakes());
  page.family(kCounter, "ringside_ring_full_total",
              "Answers that found no room in their ring, by how they went instead.");
  page.add({{"went", "inline"}}, rings.answers_inline());
  page.add({{"went", "parts"}}, rings.answers_in_parts());
  page.family(kCounter, "ringside_ring_requests_in_parts_total", "Requests that came through a ring in parts.");
  page.add({}, rings.requests_in_parts());
  page.family(kCounter, "ringside_ring_refusals_total", "Rings refused or ended, by reason (docs/protocol.md).");
  for (const auto& [reason, count] : rings.refusals()) page.add({{"reason", reason}}, count);
}

void add_upstreams(const StatusResponse& status, Page& page) {
  const auto each = [&](auto&& value) {
    for (const auto& upstream : status.totals().upstreams()) {
      page.add({{"upstream", upstream.name()}, {"kind", upstream.kind()}}, value(upstream));
    }
  };
  page.family(kCounter, "ringside_upstream_calls_total", "Requests sent to an upstream, its lists of tools included.");
  each([](const auto& upstream) { return upstream.calls(); });
  page.family(kCounter, "ringside_upstream_failures_total", "Requests that got no valid answer from the upstream.");
  each([](const auto& upstream) { return upstream.failures(); });
  page.family(MetricType::Histogram, "ringside_upstream_duration_seconds", "From a request to its answer or failure.");
  for (const auto& upstream : status.totals().upstreams()) {
    if (upstream.kind() == "builtin") continue;
    page.add({{"upstream", upstream.name()}, {"kind", upstream.kind()}}, upstream.latency());
  }
  std::map<std::pair<std::string, std::string>, std::map<std::string, std::uint64_t>> states;
  for (const Worker& worker : status.workers()) {
    for (const auto& upstream : worker.report().upstreams()) {
      ++states[{upstream.name(), upstream.kind()}][upstream.state()];
    }
  }
  page.family(kGauge, "ringside_upstream_workers", "Workers to which the upstream is idle, ready or failed.");
  for (auto& [upstream, counts] : states) {
    for (const char* state : {"idle", "ready", "failed"}) {
      page.add({{"upstream", upstream.first}, {"kind", upstream.second}, {"state", state}}, counts[state]);
    }
  }
}

void add_sessions(const StatusResponse& status, Page& page) {
  const auto& sessions = status.totals().sessions();
  page.family(kCounter, "ringside_sessions_opened_total", "Sessions that an initialize opened.");
  page.add({}, sessions.opened());
  page.family(kCounter, "ringside_sessions_ended_total", "Sessions that are over, by how.");
  page.add({{"how", "deleted"}}, sessions.ended());
  page.add({{"how", "expired"}}, sessions.expired());
}

}  // namespace

std::string metrics_page(const StatusResponse& status, double now_s) {
  Page page;
  add_house(status, now_s, page);
  add_workers(status, page);
  add_calls(status, page);
  add_rings(status, page);
  add_upstreams(status, page);
  add_sessions(status, page);
  return page.text();
}

}  // namespace ringside::supervisor
