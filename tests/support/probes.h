#pragma once
// What an orchestrator asks of a Ringside, at every door that it may ask at.

#include <memory>
#include <string>

#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "rpc/channel.h"
#include "tests/support/house.h"

namespace ringside::test {

inline constexpr int kProbeBytes = 4 << 20;

inline void set_probe_deadline(grpc::ClientContext& context, std::chrono::seconds within = std::chrono::seconds(2)) {
  context.set_deadline(std::chrono::system_clock::now() + within);
}

/// grpc.health.v1's word for a service at a socket; empty when nobody answers.
inline std::string standard_health(const std::string& socket, const std::string& service) {
  const auto stub = grpc::health::v1::Health::NewStub(rpc::channel_to_path(socket, kProbeBytes));
  grpc::ClientContext context;
  set_probe_deadline(context);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  if (!stub->Check(&context, request, &response).ok()) return {};
  return grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status());
}

/// The contract's HealthCheck at runtime.sock; empty when nobody answers.
inline std::string contract_health(const House& house) {
  namespace contract = ::contextforge::mcp::runtime::v1;
  const auto stub = contract::McpRuntime::NewStub(rpc::channel_to_path(house.socket("runtime.sock"), kProbeBytes));
  grpc::ClientContext context;
  set_probe_deadline(context);
  contract::HealthResponse response;
  return stub->HealthCheck(&context, {}, &response).ok() ? response.status() : "";
}

}  // namespace ringside::test
