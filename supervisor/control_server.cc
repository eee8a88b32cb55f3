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
#include "supervisor/event_stream.h"

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

/// A call that waits for the loop's answer. Gets one even if the loop drops it, since a server cannot end before.
class Pending {
 public:
  Pending(grpc::ServerUnaryReactor* reactor, control::v1::OrderResponse* response)
      : reactor_(reactor), response_(response) {}
  ~Pending() {
    control::v1::OrderResponse response;
    response.add_faults("ringsided is stopping");
    finish(std::move(response));
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  void finish(control::v1::OrderResponse answer) {
    auto* reactor = std::exchange(reactor_, nullptr);
    if (reactor == nullptr) return;
    *response_ = std::move(answer);
    reactor->Finish(grpc::Status::OK);
  }

 private:
  grpc::ServerUnaryReactor* reactor_;
  control::v1::OrderResponse* response_;
};

class ControlService final : public control::v1::Control::CallbackService {
 public:
  ControlService(const Clock& clock, EventBook& book, TakeOrder take_order)
      : clock_(clock), book_(book), take_order_(std::move(take_order)) {}

  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context, const control::v1::StatusRequest* /*request*/,
                                   control::v1::StatusResponse* response) override {
    *response = status();
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* SetWorkers(grpc::CallbackServerContext* context,
                                       const control::v1::SetWorkersRequest* request,
                                       control::v1::OrderResponse* response) override {
    return pass_on(context, order::SetWorkers{request->workers()}, response);
  }
  grpc::ServerUnaryReactor* DrainWorker(grpc::CallbackServerContext* context, const control::v1::WorkerRequest* request,
                                        control::v1::OrderResponse* response) override {
    return pass_on(context, order::DrainWorker{request->index()}, response);
  }
  grpc::ServerUnaryReactor* RestartWorker(grpc::CallbackServerContext* context,
                                          const control::v1::WorkerRequest* request,
                                          control::v1::OrderResponse* response) override {
    return pass_on(context, order::RestartWorker{request->index()}, response);
  }
  grpc::ServerUnaryReactor* Reload(grpc::CallbackServerContext* context, const control::v1::ReloadRequest* /*request*/,
                                   control::v1::OrderResponse* response) override {
    return pass_on(context, order::Reload{}, response);
  }
  grpc::ServerUnaryReactor* Upgrade(grpc::CallbackServerContext* context,
                                    const control::v1::UpgradeRequest* /*request*/,
                                    control::v1::OrderResponse* response) override {
    return pass_on(context, order::Upgrade{}, response);
  }
  grpc::ServerWriteReactor<control::v1::Event>* Events(grpc::CallbackServerContext* /*context*/,
                                                       const control::v1::EventsRequest* request) override {
    return EventStream::start(book_, *request);
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
      const std::size_t slot = at < snapshot_.slots.size() ? snapshot_.slots[at] : at;
      if (snapshot_.meters == nullptr || slot >= snapshot_.meters->workers.size()) continue;
      *worker.mutable_report()->mutable_meters() = snapshot_.meters->workers[slot];
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
  grpc::ServerUnaryReactor* pass_on(grpc::CallbackServerContext* context, Order order,
                                    control::v1::OrderResponse* response) {
    auto* reactor = context->DefaultReactor();
    if (take_order_ == nullptr) {
      reactor->Finish({grpc::StatusCode::PERMISSION_DENIED, "orders are for root and the service's own user"});
      return reactor;
    }
    take_order_(order, [pending = std::make_shared<Pending>(reactor, response)](control::v1::OrderResponse answer) {
      pending->finish(std::move(answer));
    });
    return reactor;
  }

  const Clock& clock_;
  EventBook& book_;
  const TakeOrder take_order_;
  mutable std::mutex mutex_;
  Snapshot snapshot_;
};

}  // namespace

/// One server. There are two, since a call does not tell which connection it came over: one for those who may give
/// orders, one for those who may only look.
struct ControlServer::State {
  struct Half {
    Half(const Clock& clock, EventBook& book, TakeOrder take_order) : service(clock, book, std::move(take_order)) {}
    ~Half() {
      if (server == nullptr) return;
      acceptor->close();
      server->Shutdown(std::chrono::system_clock::now() + kGoodbye);
      server->Wait();
    }
    Half(const Half&) = delete;
    Half& operator=(const Half&) = delete;

    Status start() {
      grpc::ServerBuilder builder;
      acceptor.emplace(builder);
      builder.RegisterService(&service);
      builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
      server = builder.BuildAndStart();
      if (server == nullptr) return Error{Code::kSystem, 0, "the control server cannot start"};
      return {};
    }

    void tell(bool serving, bool ready, bool alive) const {
      auto* health = server->GetHealthCheckService();
      for (const char* name : kServing) health->SetServingStatus(name, serving);
      health->SetServingStatus(kReadiness, ready);
      for (const char* name : kLiveness) health->SetServingStatus(name, alive);
    }

    ControlService service;
    std::optional<rpc::Acceptor> acceptor;
    std::unique_ptr<grpc::Server> server;
  };

  State(const Clock& clock, EventBook& book, TakeOrder take_order)
      : operators(clock, book, std::move(take_order)), others(clock, book, nullptr) {}
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
    operators.tell(serving, ready, alive);
    others.tell(serving, ready, alive);
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

  Half operators;
  Half others;
  std::mutex mutex;  // guards what follows
  std::condition_variable beaten;
  std::uint64_t beats = 0;
  bool ending = false;
  std::optional<std::array<bool, 3>> told;  ///< to the health services
  std::thread judge_of_life;
};

ControlServer::ControlServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<ControlServer>> ControlServer::start(const Clock& clock, EventBook& book, TakeOrder take_order) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto state = std::make_unique<State>(clock, book, std::move(take_order));
  RS_TRY_STATUS(state->operators.start());
  RS_TRY_STATUS(state->others.start());
  state->beat(false, false);
  state->judge_of_life = std::thread([at = state.get()] { at->judge_life(); });
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

ControlServer::~ControlServer() = default;

void ControlServer::adopt(UniqueFd connection, bool may_order) {
  (may_order ? state_->operators : state_->others).acceptor->adopt(std::move(connection));
}

control::v1::StatusResponse ControlServer::status() const { return state_->operators.service.status(); }

void ControlServer::publish(Snapshot snapshot) {
  const bool serving = snapshot.health.serving;
  const bool ready = snapshot.health.ready;
  snapshot.status.set_health(std::string(snapshot.health.status));
  snapshot.status.set_health_reason(snapshot.health.reason);
  state_->others.service.publish(snapshot);
  state_->operators.service.publish(std::move(snapshot));
  state_->beat(serving, ready);
}

}  // namespace ringside::supervisor
