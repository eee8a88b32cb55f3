#include "supervisor/control_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>

#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"

namespace ringside::supervisor {
namespace {

// The names that grpc.health.v1 knows here; the empty one is the whole.
constexpr std::array<const char*, 3> kServices{"", "contextforge.mcp.runtime.v1.McpRuntime",
                                               "ringside.control.v1.Control"};
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
    const SteadyTime now = clock_.now();
    {
      const std::lock_guard lock(mutex_);
      *response = snapshot_.status;
      response->set_uptime_ms(ms_between(snapshot_.started, now));
      for (int i = 0; i < response->workers_size(); ++i) {
        const SteadyTime since = snapshot_.workers_started[static_cast<std::size_t>(i)];
        response->mutable_workers(i)->set_up_ms(ms_between(since, now));
      }
    }
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  void publish(Snapshot snapshot) {
    const std::lock_guard lock(mutex_);
    std::swap(snapshot_, snapshot);
  }

 private:
  const Clock& clock_;
  std::mutex mutex_;
  Snapshot snapshot_;
};

}  // namespace

struct ControlServer::State {
  explicit State(const Clock& clock) : service(clock) {}

  void serve(bool serving) {
    if (told == serving) return;
    told = serving;
    for (const char* name : kServices) server->GetHealthCheckService()->SetServingStatus(name, serving);
  }

  ControlService service;
  std::optional<rpc::Acceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
  std::optional<bool> told;  ///< to the health service
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
  state->serve(false);
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

ControlServer::~ControlServer() {
  state_->acceptor->close();
  state_->server->Shutdown(std::chrono::system_clock::now() + kGoodbye);
  state_->server->Wait();
}

void ControlServer::adopt(UniqueFd connection) { state_->acceptor->adopt(std::move(connection)); }

void ControlServer::publish(Snapshot snapshot) {
  const bool serving = snapshot.serving;
  state_->service.publish(std::move(snapshot));
  state_->serve(serving);
}

}  // namespace ringside::supervisor
