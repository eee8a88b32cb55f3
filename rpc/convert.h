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
/// Status and headers of a stream, which its first chunk carries.
[[nodiscard]] mcp::Response take_head(contract::McpChunk& message);
void fill_head(const mcp::Response& response, contract::McpChunk& message);

/// A body's handle, as the ring's ends have it (shm::Handle, which this room does not know) and as it travels.
template <typename Handle>
[[nodiscard]] Handle to_handle(const contract::BodyHandle& message) {
  return {.ring = message.ring(),
          .generation = message.generation(),
          .slot = message.slot(),
          .sequence = message.sequence(),
          .first_block = message.first_block(),
          .block_count = message.block_count(),
          .length = message.length()};
}
template <typename Handle>
void fill_handle(const Handle& handle, contract::BodyHandle& message) {
  message.set_ring(handle.ring);
  message.set_generation(handle.generation);
  message.set_slot(handle.slot);
  message.set_sequence(handle.sequence);
  message.set_first_block(handle.first_block);
  message.set_block_count(handle.block_count);
  message.set_length(handle.length);
}

}  // namespace ringside::rpc
