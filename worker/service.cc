#include "worker/service.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <utility>

#include "base/core_dump.h"
#include "base/log.h"
#include "base/random.h"
#include "worker/make_upstreams.h"
#include "worker/open_stores.h"
#include "worker/peers/http_relay.h"

namespace ringside::worker {
namespace {

constexpr auto kStoreEvery = std::chrono::seconds(1);

EventLimits event_limits(const link::v1::WorkerConfig& config) {
  EventLimits limits;
  if (config.limits().events_per_stream() != 0) limits.per_stream = config.limits().events_per_stream();
  if (config.limits().event_ttl_ms() != 0) limits.ttl_ms = static_cast<std::int64_t>(config.limits().event_ttl_ms());
  return limits;
}

FederationOptions federation_options(const link::v1::WorkerConfig& config) {
  FederationOptions options;
  options.ttl = std::chrono::milliseconds(config.limits().catalog_ttl_ms());
  options.fetch_timeout = std::chrono::milliseconds(config.limits().call_timeout_ms());
  options.page_entries = config.limits().page_entries();
  const auto& said = config.federation();
  if (said.names() == "always") options.names = mcp::NameRule::kAlways;
  if (said.names() == "first") options.names = mcp::NameRule::kFirst;
  if (!said.separator().empty()) options.separator = said.separator();
  if (said.patience_ms() != 0) options.patience = std::chrono::milliseconds(said.patience_ms());
  for (const auto& server : config.servers()) {
    ServerView view;
    view.id = server.id();
    view.upstreams = {server.upstreams().begin(), server.upstreams().end()};
    view.tools = {server.tools().begin(), server.tools().end()};
    view.require = {server.require().begin(), server.require().end()};
    options.servers.push_back(std::move(view));
  }
  return options;
}

RuntimeOptions runtime_options(const link::v1::WorkerConfig& config) {
  RuntimeOptions options;
  options.max_body_bytes = config.limits().body_bytes();
  options.call_timeout = std::chrono::milliseconds(config.limits().call_timeout_ms());
  options.session_ttl_ms = static_cast<std::int64_t>(config.limits().session_ttl_ms());
  options.event_ttl_ms = event_limits(config).ttl_ms;
  options.federation = federation_options(config);
  options.transport_echo = config.transport_echo();
  options.edge_requires_session = config.edge().require_session();
  options.version = config.version();
  options.mode = config.mode();
  options.slow_call = std::chrono::milliseconds(config.limits().slow_call_ms());
  options.id_seed = random_u64();
  return options;
}

std::uint64_t resident_bytes() {
  std::ifstream pages("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  pages >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void fill_latency(const LatencyHistogram::Counts& counts, double seconds, control::v1::Latency& latency) {
  if (seconds == 0) return;
  latency.mutable_buckets()->Add(counts.begin(), counts.end());
  latency.set_seconds(seconds);
}

void fill_meters(const RuntimeMeters& meters, control::v1::WorkerReport& report) {
  for (const CallCount& count : meters.calls) {
    auto& call = *report.mutable_meters()->add_calls();
    call.set_door(std::string(to_string(count.door)));
    call.set_method(std::string(to_string(count.method)));
    fill_latency(count.latency, count.seconds, *call.mutable_latency());
    call.set_client_errors(count.client_errors);
    call.set_server_errors(count.server_errors);
    call.set_bytes_in(count.bytes_in);
    call.set_bytes_out(count.bytes_out);
    call.set_streams(count.streams);
  }
  auto& sessions = *report.mutable_meters()->mutable_sessions();
  sessions.set_opened(meters.sessions.opened);
  sessions.set_ended(meters.sessions.ended);
  sessions.set_expired(meters.sessions.expired);
  report.set_sessions_cached(static_cast<std::uint32_t>(meters.sessions.cached));
  report.set_listening_streams(static_cast<std::uint32_t>(meters.listening));
}

void fill_upstream(const UpstreamStatus& status, control::v1::WorkerReport& report) {
  auto& upstream = *report.add_upstreams();
  upstream.set_name(status.name);
  upstream.set_kind(status.kind);
  upstream.set_state(status.state);
  upstream.set_calls(status.calls);
  upstream.set_failures(status.failures);
  auto& meter = *report.mutable_meters()->add_upstreams();
  meter.set_name(status.name);
  meter.set_kind(status.kind);
  meter.set_calls(status.calls);
  meter.set_failures(status.failures);
  fill_latency(status.latency, status.seconds, *meter.mutable_latency());
}

}  // namespace

Result<std::unique_ptr<Service>> Service::open(const rpc::Link::Received& configure, LinkPort& port) {
  if (configure.descriptors.size() != 2) return Error{Code::kPeerLied, 0, "Configure comes with two descriptors"};
  link::v1::WorkerConfig config;
  RS_TRY_STATUS(rpc::from_memfd(configure.descriptors[0].get(), config));
  EpochReader epoch = RS_TRY(EpochReader::map(configure.descriptors[1].get()));
  std::unique_ptr<Service> service(new Service(std::move(epoch), port));
  RS_TRY_STATUS(service->build(config));
  return service;
}

Status Service::build(const link::v1::WorkerConfig& config) {
  log::init("ringside-worker", config.log_level());
  if (config.full_core_dumps()) RS_TRY_STATUS(choose_core_dump(CoreDump::kFull));
  auto peers = RS_TRY(PeerDoor::open(config.runtime_dir()));
  http::ClientOptions client_options;
  client_options.max_connections_per_host = config.limits().upstream_connections();
  http_roads_ = std::make_unique<HttpRoads>(client_options);
  Stores stores = RS_TRY(open_stores(config, event_limits(config), [this] { port_.advance_epoch([] {}); }));
  if (auto calls = CallPage::create(); calls.ok()) calls_ = std::make_shared<CallPage>(std::move(calls).value());
  RuntimeOptions options = runtime_options(config);
  options.admissions = {config.limits().calls_per_worker(), config.limits().calls_per_owner(), calls_};
  options.home = peers->address();
  options.relay = std::make_shared<HttpRelay>();
  runtime_ = std::make_unique<Runtime>(std::move(options), system_clock(), std::move(stores),
                                       make_upstreams(config, *http_roads_), epoch_.counter(),
                                       [this](std::function<void()> done) { port_.advance_epoch(std::move(done)); });
  runtime_->watch_store(kStoreEvery);
  peers_ = std::move(peers);
  peers_->serve(*runtime_);
  doors_ = RS_TRY(DoorSet::open(config, *runtime_));
  pulse_.emplace(doors_->loops());
  return {};
}

void Service::drain(Duration within) {
  draining_.store(true, std::memory_order_relaxed);
  const auto end = std::chrono::steady_clock::now() + within;
  runtime_->end_streams();
  doors_->drain(within);
  // Only now: as long as our own doors have calls, this is where their sessions are.
  peers_->drain(std::max<Duration>(end - std::chrono::steady_clock::now(), Duration(0)));
  runtime_->leave_home();
}

void Service::follow_epoch_page(int fd) {
  if (const Status followed = epoch_.follow(fd); !followed.ok()) {
    return log::error("the new epoch page is refused: {}", followed.error().message);
  }
  link::v1::ToSupervisor message;
  message.mutable_epoch_page_mapped();
  port_.post(std::move(message));
}

void Service::report() {
  runtime_->look_after_streams();
  runtime_->look_after_upstreams();
  const Health health = draining_.load(std::memory_order_relaxed) ? Health::kDraining : runtime_->health();
  doors_->tell(health);
  link::v1::ToSupervisor message;
  auto& report = *message.mutable_report();
  const RuntimeStats stats = runtime_->stats();
  report.set_progress(pulse_->beat());
  report.set_health(std::string(to_string(health)));
  report.set_calls(stats.calls);
  report.set_calls_refused(stats.refused);
  report.set_calls_under_way(stats.under_way);
  for (std::size_t i = 0; i < kDoorCount; ++i) {
    (*report.mutable_calls_by_door())[std::string(to_string(static_cast<Door>(i)))] = stats.by_door.at(i);
  }
  fill_meters(runtime_->meters(), report);
  for (const UpstreamStatus& each : runtime_->upstreams()) fill_upstream(each, report);
  report.set_rss_bytes(resident_bytes());
  doors_->report(report);
  port_.post(std::move(message));
}

}  // namespace ringside::worker
