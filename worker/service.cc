#include "worker/service.h"

#include <filesystem>
#include <utility>

#include "base/log.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

constexpr auto kStoreEvery = std::chrono::seconds(1);

std::string guard_program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringside-guard"; }

std::vector<std::unique_ptr<Upstream>> make_upstreams(const link::v1::WorkerConfig& config, http::Client& client) {
  std::vector<std::unique_ptr<Upstream>> upstreams;
  for (const auto& entry : config.upstreams()) {
    if (entry.has_http()) {
      HttpUpstreamOptions options;
      options.name = entry.name();
      options.url = entry.http().url();
      options.headers = {entry.http().headers().begin(), entry.http().headers().end()};
      options.max_body_bytes = config.limits().body_bytes();
      options.client_version = config.version();
      upstreams.push_back(make_http_upstream(std::move(options), client));
    } else if (entry.has_stdio()) {
      StdioUpstreamOptions options;
      options.name = entry.name();
      options.command = entry.stdio().command();
      options.args = {entry.stdio().args().begin(), entry.stdio().args().end()};
      options.env = {entry.stdio().env().begin(), entry.stdio().env().end()};
      options.cwd = entry.stdio().cwd();
      options.max_body_bytes = config.limits().body_bytes();
      options.client_version = config.version();
      options.guard_program = guard_program();
      upstreams.push_back(make_stdio_upstream(std::move(options)));
    } else {
      upstreams.push_back(make_builtin_upstream(entry.name()));
    }
  }
  return upstreams;
}

RuntimeOptions runtime_options(const link::v1::WorkerConfig& config) {
  RuntimeOptions options;
  options.max_body_bytes = config.limits().body_bytes();
  options.call_timeout = std::chrono::milliseconds(config.limits().call_timeout_ms());
  options.session_ttl_ms = static_cast<std::int64_t>(config.limits().session_ttl_ms());
  options.catalog_ttl = std::chrono::milliseconds(config.limits().catalog_ttl_ms());
  options.transport_echo = config.transport_echo();
  options.version = config.version();
  options.mode = config.mode();
  return options;
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
  http::ClientOptions client_options;
  client_options.max_connections_per_host = config.limits().upstream_connections();
  http_client_ = std::make_unique<http::Client>(client_options);
  auto store = RS_TRY(open_sqlite_store(config.runtime_dir() + "/sessions.db"));
  runtime_ = std::make_unique<Runtime>(runtime_options(config), system_clock(), std::move(store),
                                       make_upstreams(config, *http_client_), epoch_.counter(),
                                       [this](std::function<void()> done) { port_.advance_epoch(std::move(done)); });
  runtime_->watch_store(kStoreEvery);
  doors_ = RS_TRY(DoorSet::open(config, *runtime_));
  return {};
}

void Service::drain(Duration within) {
  draining_.store(true, std::memory_order_relaxed);
  runtime_->end_streams();
  doors_->drain(within);
}

void Service::report() {
  runtime_->look_after_streams();
  runtime_->look_after_upstreams();
  const Health health = draining_.load(std::memory_order_relaxed) ? Health::kDraining : runtime_->health();
  doors_->tell(health);
  link::v1::ToSupervisor message;
  auto& report = *message.mutable_report();
  const RuntimeStats stats = runtime_->stats();
  report.set_health(std::string(to_string(health)));
  report.set_calls(stats.calls);
  report.set_calls_under_way(stats.under_way);
  static constexpr const char* kNames[kDoorCount] = {"ring", "handle", "grpc", "http"};
  for (std::size_t i = 0; i < kDoorCount; ++i) (*report.mutable_calls_by_door())[kNames[i]] = stats.by_door.at(i);
  for (const UpstreamStatus& each : runtime_->upstreams()) {
    auto& upstream = *report.add_upstreams();
    upstream.set_name(each.name);
    upstream.set_kind(each.kind);
    upstream.set_state(each.state);
    upstream.set_calls(each.calls);
    upstream.set_failures(each.failures);
  }
  doors_->report(report);
  port_.post(std::move(message));
}

}  // namespace ringside::worker
