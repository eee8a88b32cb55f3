#include "rpc/convert.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ringside::rpc {
namespace {

using ContractHeaders = google::protobuf::Map<std::string, std::string>;

/// A contract's map has no order and tells "A" from "a"; we do not. Sorted by name, the one in lower case comes last
/// and wins, whatever order the map has today.
mcp::Headers take_headers(ContractHeaders& from) {
  std::vector<ContractHeaders::pointer> items;
  items.reserve(from.size());
  for (auto& item : from) items.push_back(&item);
  std::sort(items.begin(), items.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  mcp::Headers to;
  for (auto* item : items) to.set(item->first, std::move(item->second));
  return to;
}

void fill_headers(const mcp::Headers& from, ContractHeaders& to) {
  for (const auto& [name, value] : from) to[name] = value;
}

}  // namespace

mcp::Request to_request(contract::McpRequest&& message, std::string_view default_method) {
  mcp::Request request;
  request.method = message.method().empty() ? std::string(default_method) : std::move(*message.mutable_method());
  request.path = std::move(*message.mutable_path());
  request.query = std::move(*message.mutable_query());
  if (request.query.starts_with('?')) request.query.erase(0, 1);
  request.headers = take_headers(*message.mutable_headers());
  request.body = std::move(*message.mutable_body());
  request.body.reserve(request.body.size() + mcp::kBodyPadding);
  request.server_id = std::move(*message.mutable_server_id());
  request.session_id = std::move(*message.mutable_session_id());
  if (message.has_auth_context()) {
    request.auth_expires_ms = message.auth_context().expires_at_epoch_ms();
    request.auth_encoded = std::move(*message.mutable_auth_context()->mutable_encoded());
  }
  request.affinity_forwarded = message.affinity_forwarded();
  request.retry = message.retry();
  request.stream = message.stream();
  return request;
}

void fill_head(const mcp::Request& request, contract::McpRequest& message) {
  message.set_method(request.method);
  message.set_path(request.path);
  message.set_query(request.query);
  fill_headers(request.headers, *message.mutable_headers());
  message.set_server_id(request.server_id);
  message.set_session_id(request.session_id);
  if (!request.auth_encoded.empty() || request.auth_expires_ms != 0) {
    message.mutable_auth_context()->set_encoded(request.auth_encoded);
    message.mutable_auth_context()->set_expires_at_epoch_ms(request.auth_expires_ms);
  }
  message.set_affinity_forwarded(request.affinity_forwarded);
  message.set_retry(request.retry);
  message.set_stream(request.stream);
}

mcp::Response to_response(contract::McpResponse&& message) {
  mcp::Response response;
  response.status = message.status();
  response.headers = take_headers(*message.mutable_headers());
  response.body = std::move(*message.mutable_body());
  return response;
}

void fill_head(const mcp::Response& response, contract::McpResponse& message) {
  message.set_status(response.status);
  fill_headers(response.headers, *message.mutable_headers());
}

mcp::Response take_head(contract::McpChunk& message) {
  mcp::Response head;
  head.status = message.status();
  head.headers = take_headers(*message.mutable_headers());
  return head;
}

void fill_head(const mcp::Response& response, contract::McpChunk& message) {
  message.set_status(response.status);
  fill_headers(response.headers, *message.mutable_headers());
}

}  // namespace ringside::rpc
