#pragma once
// The one map from our errors to what each door says. gRPC codes are given as numbers, so that this needs no gRPC.

#include <string>
#include <string_view>

#include "base/result.h"
#include "mcp/message.h"

namespace ringside::rpc {

/// What a JSON-RPC error says of where it arose (`data.origin`).
enum class Origin { kModule, kCore, kPlugin, kUpstream };
[[nodiscard]] std::string_view to_string(Origin origin);

/// A number of grpc::StatusCode.
[[nodiscard]] int grpc_code(Code code);
[[nodiscard]] Code code_of_grpc(int grpc_code);

/// 502 with -32000, the request's raw id, a message that is safe for clients, and data.origin.
[[nodiscard]] mcp::Response backend_down(std::string_view raw_id, std::string_view safe_message, Origin origin);
/// 502 with -32010 "Outcome unknown", the request's raw id and data.outcome: a worker died while it had the call, which
/// is not safe to repeat. The caller decides whether to ask again.
[[nodiscard]] mcp::Response outcome_unknown(std::string_view raw_id);
/// A JSON-RPC error under the given HTTP status.
[[nodiscard]] mcp::Response jsonrpc_error(int status, std::string_view raw_id, int code, std::string_view message);
/// `{"detail": DETAIL}` under the given HTTP status.
[[nodiscard]] mcp::Response detail_error(int status, std::string_view detail);
/// 405 with Allow.
[[nodiscard]] mcp::Response not_allowed(std::string_view allow);

}  // namespace ringside::rpc
