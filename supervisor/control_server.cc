#include "supervisor/control_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"

namespace ringside::supervisor {
namespace {

// docs/operations.md ("Health") has the names; the empty one is the whole.
constexpr std::array<const char*, 2> kServing{"", "contextforge.mcp.runtime.v1.McpRuntime"};
constexpr const char* kReadiness = "readiness";
constexpr std::array<const char*, 2> kLiveness{"liveness", "ringside.control.v1.Control"};
constexpr std::chrono::seconds kStuck{10};
constexpr std::chrono::milliseconds kGoodbye{200};

std::uint64_t ms_between(SteadyTime from, SteadyTime to) {
  return to <= from
             ? 0
             : static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count());
}

class ControlService final : public control::v1::Control::CallbackService {
 public:
  explicit ControlService(const Clock& clock) : clock_(clock) {}

  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context, const control::v1::StatusRequest* /*request*/,
                                   control::v1::StatusResponse* response) override {
    *response = status();
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  [[nodiscard]] control::v1::StatusResponse status() const {
    const SteadyTime now = clock_.now();
    const std::lock_guard lock(mutex_);
    control::v1::StatusResponse status = snapshot_.status;
    status.set_uptime_ms(ms_between(snapshot_.started, now));
    for (int i = 0; i < status.workers_size(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      auto& worker = *status.mutable_workers(i);
      worker.set_up_ms(ms_between(snapshot_.workers_started[at], now));
      if (snapshot_.meters == nullptr || at >= snapshot_.meters->workers.size()) continue;
      *worker.mutable_report()->mutable_meters() = snapshot_.meters->workers[at];
    }
    if (snapshot_.meters == nullptr) return status;
    *status.mutable_totals() = snapshot_.meters->totals;
    status.mutable_worker_exits()->insert(snapshot_.meters->exits.begin(), snapshot_.meters->exits.end());
    return status;
  }

  void publish(Snapshot snapshot) {
    const std::lock_guard lock(mutex_);
    std::swap(snapshot_, snapshot);
  }

 private:
  const Clock& clock_;
  mutable std::mutex mutex_;
  Snapshot snapshot_;
};

}  // namespace

struct ControlServer::State {
  explicit State(const Clock& clock) : service(clock) {}
  ~State() {
    {
      const std::lock_guard lock(mutex);
      ending = true;
    }
    beaten.notify_all();
    if (judge_of_life.joinable()) judge_of_life.join();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// With the mutex.
  void tell(bool serving, bool ready, bool alive) {
    const std::array<bool, 3> now{serving, ready, alive};
    if (std::exchange(told, now) == now) return;
    auto* health = server->GetHealthCheckService();
    for (const char* name : kServing) health->SetServingStatus(name, serving);
    health->SetServingStatus(kReadiness, ready);
    for (const char* name : kLiveness) health->SetServingStatus(name, alive);
  }
  void beat(bool serving, bool ready) {
    const std::lock_guard lock(mutex);
    tell(serving, ready, true);
    ++beats;
    beaten.notify_all();
  }
  void judge_life() {
    std::unique_lock lock(mutex);
    while (!ending) {
      const bool alive = beaten.wait_for(lock, kStuck, [this, last = beats] { return ending || beats != last; });
      if (!alive) tell(false, false, false);
    }
  }

  ControlService service;
  std::optional<rpc::Acceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
  std::mutex mutex;  // guards what follows
  std::condition_variable beaten;
  std::uint64_t beats = 0;
  bool ending = false;
  std::optional<std::array<bool, 3>> told;  ///< to the health service
  std::thread judge_of_life;
};

ControlServer::ControlServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<ControlServer>> ControlServer::start(const Clock& clock) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto state = std::make_unique<State>(clock);
  grpc::ServerBuilder builder;
  state->acceptor.emplace(builder);
  builder.RegisterService(&state->service);
  builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) return Error{Code::kSystem, 0, "the control server cannot start"};
  state->beat(false, false);
  state->judge_of_life = std::thread([at = state.get()] { at->judge_life(); });
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

ControlServer::~ControlServer() {
  state_->acceptor->close();
  state_->server->Shutdown(std::chrono::system_clock::now() + kGoodbye);
  state_->server->Wait();
}

void ControlServer::adopt(UniqueFd connection) { state_->acceptor->adopt(std::move(connection)); }

control::v1::StatusResponse ControlServer::status() const { return state_->service.status(); }

void ControlServer::publish(Snapshot snapshot) {
  const bool serving = snapshot.health.serving;
  const bool ready = snapshot.health.ready;
  snapshot.status.set_health(std::string(snapshot.health.status));
  snapshot.status.set_health_reason(snapshot.health.reason);
  state_->service.publish(std::move(snapshot));
  state_->beat(serving, ready);
}

}  // namespace ringside::supervisor
