#include "client/cli/health.h"

#include <ostream>

#include "client/cli/operator_channel.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace ringside::cli {

namespace health = ::grpc::health::v1;

ExitCode run_health(const HealthCommand& command, std::ostream& out, std::ostream& err) {
  const std::string socket = command.runtime_dir + "/" + command.socket + ".sock";
  const auto stub = health::Health::NewStub(operator_channel(socket));
  health::HealthCheckRequest request;
  request.set_service(command.service);
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
  return response.status() == health::HealthCheckResponse::SERVING ? kFine : kAnsweredWithError;
}

}  // namespace ringside::cli
