#include "rpc/errors.h"

#include <utility>

#include "mcp/envelope.h"

namespace ringside::rpc {
namespace {

// Numbers of grpc::StatusCode, which is fixed for good (grpc/doc/statuscodes.md).
enum GrpcCode : int {
  kGrpcCancelled = 1,
  kGrpcInvalidArgument = 3,
  kGrpcDeadlineExceeded = 4,
  kGrpcNotFound = 5,
  kGrpcPermissionDenied = 7,
  kGrpcResourceExhausted = 8,
  kGrpcInternal = 13,
  kGrpcUnavailable = 14,
  kGrpcUnauthenticated = 16,
};

mcp::Response json_response(int status, std::string body) {
  mcp::Response response;
  response.status = status;
  response.headers.set("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

}  // namespace

std::string_view to_string(Origin origin) {
  switch (origin) {
    case Origin::kModule:
      return "module";
    case Origin::kCore:
      return "core";
    case Origin::kPlugin:
      return "plugin";
    case Origin::kUpstream:
      return "upstream";
  }
  return "module";
}

int grpc_code(Code code) {
  switch (code) {
    case Code::kInvalid:
    case Code::kPeerLied:
      return kGrpcInvalidArgument;
    case Code::kDenied:
      return kGrpcPermissionDenied;
    case Code::kNotFound:
      return kGrpcNotFound;
    case Code::kTooLarge:
      return kGrpcResourceExhausted;
    case Code::kCancelled:
      return kGrpcCancelled;
    case Code::kTimeout:
      return kGrpcDeadlineExceeded;
    case Code::kFull:  // not RESOURCE_EXHAUSTED, which clients turn into 413: waiting helps here
    case Code::kUnavailable:
      return kGrpcUnavailable;
    case Code::kUpstream:
    case Code::kSystem:
      return kGrpcInternal;
  }
  return kGrpcInternal;
}

Code code_of_grpc(int grpc_code) {
  switch (grpc_code) {
    case kGrpcCancelled:
      return Code::kCancelled;
    case kGrpcInvalidArgument:
      return Code::kInvalid;
    case kGrpcDeadlineExceeded:
      return Code::kTimeout;
    case kGrpcNotFound:
      return Code::kNotFound;
    case kGrpcPermissionDenied:
    case kGrpcUnauthenticated:
      return Code::kDenied;
    case kGrpcResourceExhausted:
      return Code::kTooLarge;
    case kGrpcUnavailable:
      return Code::kUnavailable;
    default:
      return Code::kSystem;
  }
}

mcp::Response backend_down(std::string_view raw_id, std::string_view safe_message, Origin origin) {
  const std::string data = R"({"origin":")" + std::string(to_string(origin)) + R"("})";
  return json_response(502, mcp::error_body(raw_id, mcp::kBackendDownCode, safe_message, data));
}

mcp::Response outcome_unknown(std::string_view raw_id) {
  return json_response(
      502, mcp::error_body(raw_id, mcp::kOutcomeUnknownCode, "Outcome unknown", R"({"outcome":"unknown"})"));
}

mcp::Response jsonrpc_error(int status, std::string_view raw_id, int code, std::string_view message) {
  return json_response(status, mcp::error_body(raw_id, code, message));
}

mcp::Response detail_error(int status, std::string_view detail) {
  return json_response(status, R"({"detail":)" + mcp::encode_string(detail) + "}");
}

mcp::Response not_allowed(std::string_view allow) {
  mcp::Response response = detail_error(405, "Method Not Allowed");
  response.headers.set("allow", std::string(allow));
  return response;
}

}  // namespace ringside::rpc
