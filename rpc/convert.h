#pragma once
// The one conversion between the contract's messages and the values that the runtime and the client library speak in.

#include "contextforge/mcp/runtime/v1/runtime.pb.h"
#include "mcp/message.h"

namespace ringside::rpc {

namespace contract = ::contextforge::mcp::runtime::v1;

/// Moves everything out of `message`; the body gets mcp::kBodyPadding (a copy where it had none). `default_method`
/// stands in for an empty method. A body_handle is left to the caller.
[[nodiscard]] mcp::Request to_request(contract::McpRequest&& message, std::string_view default_method);
/// Everything but the body (which goes inline, by handle or into a ring).
void fill_head(const mcp::Request& request, contract::McpRequest& message);
[[nodiscard]] mcp::Response to_response(contract::McpResponse&& message);
void fill_head(const mcp::Response& response, contract::McpResponse& message);

}  // namespace ringside::rpc
