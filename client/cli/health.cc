#include "client/cli/health.h"

#include <ostream>

#include "client/cli/operator_channel.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "ringside/control/v1/control.grpc.pb.h"

namespace ringside::cli {

namespace health = ::grpc::health::v1;

namespace contract = ::contextforge::mcp::runtime::v1;
namespace control = ringside::control::v1;

namespace {

/// What the other side says about a health that is not SERVING; empty when it says nothing.
std::string reason(const std::shared_ptr<grpc::Channel>& channel, bool of_supervisor, double timeout_s) {
  grpc::ClientContext context;
  set_timeout(context, timeout_s);
  if (of_supervisor) {
    control::StatusResponse status;
    if (!control::Control::NewStub(channel)->Status(&context, {}, &status).ok()) return {};
    return status.health() + (status.health_reason().empty() ? "" : ": " + status.health_reason());
  }
  contract::HealthResponse health;
  return contract::McpRuntime::NewStub(channel)->HealthCheck(&context, {}, &health).ok() ? health.status() : "";
}

}  // namespace

ExitCode run_health(const HealthCommand& command, std::ostream& out, std::ostream& err) {
  const bool probe = command.liveness || command.readiness;
  const std::string name = !command.socket.empty() ? command.socket : probe ? "control" : "runtime";
  const std::string socket = command.runtime_dir + "/" + name + ".sock";
  const auto channel = operator_channel(socket);
  const auto stub = health::Health::NewStub(channel);
  health::HealthCheckRequest request;
  request.set_service(command.liveness ? "liveness" : command.readiness ? "readiness" : command.service);
  health::HealthCheckResponse response;
  grpc::ClientContext context;
  set_timeout(context, command.timeout_s);
  const grpc::Status status = stub->Check(&context, request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    out << "SERVICE_UNKNOWN\n";
    err << "ringside: nothing is known of the service \"" << command.service << "\" at " << socket
        << "; leave --service out to ask for the whole process\n";
    return kAnsweredWithError;
  }
  if (!status.ok()) {
    err << "ringside: " << complaint_of(status, socket, command.runtime_dir) << '\n';
    return kNobodyAnswers;
  }
  out << health::HealthCheckResponse::ServingStatus_Name(response.status()) << '\n';
  if (response.status() != health::HealthCheckResponse::SERVING) {
    const std::string why = reason(channel, name == "control", command.timeout_s);
    if (!why.empty()) err << "ringside: " << why << '\n';
  }
  return response.status() == health::HealthCheckResponse::SERVING ? kFine : kAnsweredWithError;
}

}  // namespace ringside::cli
