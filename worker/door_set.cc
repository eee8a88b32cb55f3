#include "worker/door_set.h"

#include <sys/stat.h>

#include <algorithm>
#include <future>
#include <utility>
#include <vector>

#include "base/log.h"

#if RINGSIDE_WITH_GRPC
#include "worker/doors/grpc_door.h"
#endif
#if RINGSIDE_WITH_RINGS
#include "worker/doors/ring_door.h"
#endif
#if RINGSIDE_WITH_HTTP
#include "worker/doors/edge_door.h"
#include "worker/doors/http_door.h"
#endif

namespace ringside::worker {
namespace {

bool wanted(const link::v1::WorkerConfig& config, std::string_view door) {
  return std::find(config.doors().begin(), config.doors().end(), door) != config.doors().end();
}

[[maybe_unused]] Error built_out() {
  return Error{Code::kInvalid, 0, "a door is configured that this build leaves out; take it off the list of doors"};
}

/// Connections handed to gRPC, which does not tell when it closes one: a descriptor that names another file by now (or
/// none) is a connection that has ended.
class HandedOver {
 public:
  void add(int fd) {
    if (const ino_t inode = inode_of(fd); inode != 0) connections_.emplace_back(fd, inode);
  }
  std::uint32_t count() {
    std::erase_if(connections_, [](const auto& each) { return inode_of(each.first) != each.second; });
    return static_cast<std::uint32_t>(connections_.size());
  }

 private:
  static ino_t inode_of(int fd) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
  }
  std::vector<std::pair<int, ino_t>> connections_;
};

}  // namespace

// Members go away in reverse order, which is the order that ring_door.h asks for.
struct DoorSet::State {
  HandedOver handed_over;
#if RINGSIDE_WITH_RINGS
  std::unique_ptr<RingDoor> rings;
#endif
#if RINGSIDE_WITH_GRPC
  std::unique_ptr<GrpcDoor> grpc;
  std::unique_ptr<GrpcDoor> remote;  ///< the same over TCP
#endif
#if RINGSIDE_WITH_HTTP
  std::unique_ptr<HttpDoor> http;
  std::unique_ptr<EdgeDoor> edge;
#endif

#if RINGSIDE_WITH_RINGS
  Status open_rings(const link::v1::WorkerConfig& config, Runtime& runtime) {
    RingDoorOptions options;
    options.max_rings = config.rings().max_rings();
    options.segment_bytes = config.rings().segment_bytes();
    options.spin = std::chrono::microseconds(config.rings().spin_us());
    options.ring = wanted(config, "ring");
    options.handle = wanted(config, "handle");
    options.max_body_bytes = config.limits().body_bytes();
    rings = std::make_unique<RingDoor>(options, runtime);
    GrpcDoorOptions channel_options;
    channel_options.handles = &rings->handles();
    channel_options.extra_service = &rings->service();
    grpc = RS_TRY(GrpcDoor::start(runtime, channel_options));
    return rings->start([this](UniqueFd channel) { grpc->adopt(std::move(channel)); });
  }
#endif
};

DoorSet::DoorSet(std::unique_ptr<State> state) : state_(std::move(state)) {}

DoorSet::~DoorSet() {
#if RINGSIDE_WITH_RINGS
  if (state_->rings) state_->rings->stop();
#endif
}

Result<std::unique_ptr<DoorSet>> DoorSet::open(const link::v1::WorkerConfig& config, Runtime& runtime) {
  auto state = std::make_unique<State>();
  if (wanted(config, "ring") || wanted(config, "handle")) {
#if RINGSIDE_WITH_RINGS
    RS_TRY_STATUS(state->open_rings(config, runtime));
#else
    return built_out();
#endif
  }
  if (wanted(config, "grpc")) {
#if RINGSIDE_WITH_GRPC
    if (!state->grpc) state->grpc = RS_TRY(GrpcDoor::start(runtime, {}));
#else
    return built_out();
#endif
  }
  if (config.edge().grpc()) {
#if RINGSIDE_WITH_GRPC
    const auto& edge = config.edge();
    GrpcDoorOptions options;
    options.tls = {edge.tls_cert(), edge.tls_key(), edge.client_ca()};
    state->remote = RS_TRY(GrpcDoor::start(runtime, options));
#else
    return built_out();
#endif
  }
  if (wanted(config, "http")) {
#if RINGSIDE_WITH_HTTP
    state->http = std::make_unique<HttpDoor>(runtime);
#else
    return built_out();
#endif
  }
  if (config.edge().http()) {
#if RINGSIDE_WITH_HTTP
    const auto& edge = config.edge();
    EdgeDoorOptions options;
    options.names.hosts.assign(edge.hosts().begin(), edge.hosts().end());
    options.names.origins.assign(edge.origins().begin(), edge.origins().end());
    options.tls = {edge.tls_cert(), edge.tls_key()};
    options.bearer_file = edge.bearer_file();
    state->edge = RS_TRY(EdgeDoor::open(runtime, std::move(options)));
#else
    return built_out();
#endif
  }
  return std::unique_ptr<DoorSet>(new DoorSet(std::move(state)));
}

void DoorSet::adopt(const link::v1::Connection& about, UniqueFd connection) {
  switch (about.door()) {
#if RINGSIDE_WITH_GRPC
    case link::v1::Connection::DOOR_GRPC:
      if (!state_->grpc) break;
      state_->handed_over.add(connection.get());
      state_->grpc->adopt(std::move(connection));
      return;
    case link::v1::Connection::DOOR_REMOTE:
      if (!state_->remote) break;
      state_->handed_over.add(connection.get());
      state_->remote->adopt(std::move(connection));
      return;
#endif
#if RINGSIDE_WITH_RINGS
    case link::v1::Connection::DOOR_RING:
      if (!state_->rings) break;
      state_->rings->adopt(std::move(connection), about.peer_pid(), about.peer_uid());
      return;
#endif
#if RINGSIDE_WITH_HTTP
    case link::v1::Connection::DOOR_HTTP:
      if (!state_->http) break;
      state_->handed_over.add(connection.get());
      state_->http->adopt(std::move(connection));
      return;
    case link::v1::Connection::DOOR_EDGE:
      if (!state_->edge) break;
      state_->handed_over.add(connection.get());
      state_->edge->adopt(std::move(connection), about.peer_ip());
      return;
#endif
    default:
      break;
  }
  log::warn("a connection came for a door that is shut door={}", static_cast<int>(about.door()));
}

void DoorSet::drain(Duration within) {
  const auto end = std::chrono::steady_clock::now() + within;
  std::vector<std::future<void>> drained;
  [[maybe_unused]] const auto promise = [&drained] {
    auto one = std::make_shared<std::promise<void>>();
    drained.push_back(one->get_future());
    return [one] { one->set_value(); };
  };
#if RINGSIDE_WITH_GRPC
  if (state_->grpc) state_->grpc->announce_drain();
  if (state_->remote) state_->remote->announce_drain();
#endif
#if RINGSIDE_WITH_HTTP
  if (state_->http) {
    state_->http->announce_drain();
    state_->http->drain(promise());
  }
  if (state_->edge) state_->edge->drain(promise());
#endif
#if RINGSIDE_WITH_RINGS
  if (state_->rings) state_->rings->drain(promise());
#endif
  // gRPC last: calls of a ring's client go over a channel of gRPC's, and the client says when it has no more. But not
  // at the last moment, lest a slow call at another door cut off those that gRPC would have let end.
  for (auto& each : drained) each.wait_until(end - within / 4);
#if RINGSIDE_WITH_GRPC
  if (state_->remote) state_->remote->drain(end - std::chrono::steady_clock::now());
  if (state_->grpc) state_->grpc->drain(end - std::chrono::steady_clock::now());
#endif
}

std::vector<RunOnLoop> DoorSet::loops() {
  std::vector<RunOnLoop> loops;
#if RINGSIDE_WITH_RINGS
  if (state_->rings) loops.emplace_back([door = state_->rings.get()](auto what) { door->run(std::move(what)); });
#endif
#if RINGSIDE_WITH_HTTP
  if (state_->http) loops.emplace_back([door = state_->http.get()](auto what) { door->run(std::move(what)); });
  if (state_->edge) loops.emplace_back([door = state_->edge.get()](auto what) { door->run(std::move(what)); });
#endif
  return loops;
}

void DoorSet::tell([[maybe_unused]] Health health) {
#if RINGSIDE_WITH_GRPC
  if (state_->grpc) state_->grpc->tell(health);
  if (state_->remote) state_->remote->tell(health);
#endif
}

void DoorSet::report(control::v1::WorkerReport& report) {
  report.set_connections_open(state_->handed_over.count());
#if RINGSIDE_WITH_HTTP
  if (state_->edge) state_->edge->look_after_files();
#endif
#if RINGSIDE_WITH_RINGS
  if (state_->rings) {
    const RingDoorStats stats = state_->rings->stats();
    report.set_rings(stats.rings);
    report.set_ring_bytes(stats.bytes);
    auto& rings = *report.mutable_meters()->mutable_rings();
    rings.set_doorbells(stats.doorbells);
    rings.set_wakes(stats.wakes);
    rings.set_answers_inline(stats.answers_inline);
    rings.set_answers_in_parts(stats.answers_in_parts);
    rings.set_requests_in_parts(stats.requests_in_parts);
    for (const auto& [reason, count] : stats.refusals) {
      (*report.mutable_ring_refusals())[reason] = count;
      (*rings.mutable_refusals())[reason] = count;
    }
  }
#endif
}

}  // namespace ringside::worker
