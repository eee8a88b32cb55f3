#include "tests/chaos/house_foreign.h"

#include <grpcpp/grpcpp.h>

#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"

namespace ringside::test::chaos {
namespace {

namespace contract = ::contextforge::mcp::runtime::v1;
constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

struct ForeignClient::Stub {
  std::unique_ptr<contract::McpRuntime::Stub> runtime;
};

ForeignClient::ForeignClient(const std::string& runtime_dir) : stub_(std::make_unique<Stub>()) {
  // Channels to one address share a connection unless each is told to have its own.
  grpc::ChannelArguments own;
  own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  stub_->runtime = contract::McpRuntime::NewStub(
      grpc::CreateCustomChannel("unix:" + runtime_dir + "/runtime.sock", grpc::InsecureChannelCredentials(), own));
}

ForeignClient::~ForeignClient() = default;

ForeignAnswer ForeignClient::call(const std::string& body) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  contract::McpRequest request;
  request.set_path("/mcp");
  (*request.mutable_headers())["content-type"] = "application/json";
  request.set_body(body);
  contract::McpResponse response;
  const grpc::Status status = stub_->runtime->Invoke(&context, request, &response);
  if (status.ok()) return {Fate::kAnswered, response.status(), response.body()};
  ForeignAnswer answer{Fate::kFailed, 0, std::to_string(status.error_code()) + " " + status.error_message()};
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) answer.fate = Fate::kLost;
  if (status.error_code() == grpc::StatusCode::CANCELLED) answer.fate = Fate::kTurnedAway;
  return answer;
}

}  // namespace ringside::test::chaos
