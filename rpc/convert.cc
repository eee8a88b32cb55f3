#include "rpc/convert.h"

#include <algorithm>
#include <memory>
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

/// Null when no field is stated.
std::shared_ptr<const mcp::TypedAuth> take_auth(contract::McpAuthContext& from) {
  mcp::TypedAuth auth;
  auth.subject = std::move(*from.mutable_subject());
  auth.teams = {from.teams().begin(), from.teams().end()};
  auth.permissions = {from.permissions().begin(), from.permissions().end()};
  auth.scopes = {from.scopes().begin(), from.scopes().end()};
  auth.allowed_ips = {from.allowed_ips().begin(), from.allowed_ips().end()};
  if (from.has_is_admin()) auth.is_admin = from.is_admin();
  auth.not_before_ms = from.not_before_ms();
  auth.not_after_ms = from.not_after_ms();
  const bool stated = !auth.subject.empty() || !auth.teams.empty() || !auth.permissions.empty() ||
                      !auth.scopes.empty() || !auth.allowed_ips.empty() || auth.is_admin || auth.not_before_ms != 0 ||
                      auth.not_after_ms != 0;
  return stated ? std::make_shared<const mcp::TypedAuth>(std::move(auth)) : nullptr;
}

void fill_auth(const mcp::TypedAuth& from, contract::McpAuthContext& to) {
  to.set_subject(from.subject);
  to.mutable_teams()->Assign(from.teams.begin(), from.teams.end());
  to.mutable_permissions()->Assign(from.permissions.begin(), from.permissions.end());
  to.mutable_scopes()->Assign(from.scopes.begin(), from.scopes.end());
  to.mutable_allowed_ips()->Assign(from.allowed_ips.begin(), from.allowed_ips.end());
  if (from.is_admin) to.set_is_admin(*from.is_admin);
  to.set_not_before_ms(from.not_before_ms);
  to.set_not_after_ms(from.not_after_ms);
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
    request.auth = take_auth(*message.mutable_auth_context());
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
  if (request.auth) fill_auth(*request.auth, *message.mutable_auth_context());
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
