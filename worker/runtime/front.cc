#include "worker/runtime/front.h"

#include <algorithm>
#include <string>

#include "mcp/envelope.h"
#include "mcp/session.h"
#include "rpc/errors.h"

namespace ringside::worker {
namespace {

constexpr std::size_t kMaxToldBack = 256;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const auto letter = static_cast<char>(c | 0x20);
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/// RFC 3986, 2.1; nothing when a '%' is not followed by two hex digits.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

/// The server id that a path of ours names (empty: none), or nothing when the path is not ours.
std::optional<std::string> server_of_path(std::string_view path) {
  static constexpr std::string_view kServers = "/servers/";
  static constexpr std::string_view kMcp = "/mcp";
  if (path.empty() || path == kMcp) return std::string();
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path == kMcp) return std::string();
  if (!path.starts_with(kServers) || !path.ends_with(kMcp) || path.size() <= kServers.size() + kMcp.size()) {
    return std::nullopt;
  }
  const auto id = path.substr(kServers.size(), path.size() - kServers.size() - kMcp.size());
  if (id.find('/') != std::string_view::npos) return std::nullopt;
  return percent_decoded(id);
}

std::optional<mcp::Response> refuse_path(mcp::Request& request) {
  auto server = server_of_path(request.path);
  if (!server) return rpc::detail_error(404, "Not Found");
  if (server->empty()) return std::nullopt;
  if (!request.server_id.empty() && request.server_id != *server) {
    return rpc::jsonrpc_error(400, {}, mcp::kInvalidRequestCode, "Invalid Request");
  }
  request.server_id = std::move(*server);
  return std::nullopt;
}

std::optional<mcp::Response> refuse_version(const mcp::Request& request) {
  const std::string* version = request.headers.find("mcp-protocol-version");
  if (version == nullptr || mcp::is_supported_version(*version)) return std::nullopt;
  const std::string message = "Unsupported protocol version: " + std::string(brief(*version)) +
                              ". Supported versions: " + mcp::supported_versions();
  mcp::Response response;
  response.status = 400;
  response.headers.set("content-type", "application/json");
  response.body = R"({"error":"Bad Request","message":)" + mcp::encode_string(message) + "}";
  return response;
}

}  // namespace

std::optional<mcp::Response> refuse_session(SessionOutcome outcome) {
  switch (outcome) {
    case SessionOutcome::kAdmitted:
      return std::nullopt;
    case SessionOutcome::kUnknown:
      return rpc::detail_error(404, "Session not found");
    case SessionOutcome::kDenied:
      return rpc::detail_error(403, "Session access denied");
    case SessionOutcome::kExpired:
      return rpc::detail_error(401, "Auth context expired");
    case SessionOutcome::kUnavailable:
      break;
  }
  return rpc::backend_down({}, kStoreDown, rpc::Origin::kModule);
}

mcp::Response empty_response(int status) {
  mcp::Response response;
  response.status = status;
  return response;
}

std::string_view brief(std::string_view text) { return text.substr(0, kMaxToldBack); }

mcp::Response refuse_caller(const Error& error) {
  if (error.code == Code::kTimeout) return rpc::detail_error(401, error.message);
  if (error.code == Code::kDenied) return rpc::detail_error(403, error.message);
  return rpc::detail_error(400, "Invalid auth context");
}

mcp::Response refuse_method(bool has_session) { return rpc::not_allowed(has_session ? "POST, DELETE" : "POST"); }

std::optional<mcp::Response> refuse_head(mcp::Request& request, std::size_t max_body_bytes) {
  if (auto refusal = refuse_path(request)) return refusal;
  if (request.method != "POST" && request.method != "GET" && request.method != "DELETE") {
    return refuse_method(!mcp::find_session_id(request).empty());
  }
  const bool headers_good = std::all_of(request.headers.begin(), request.headers.end(), [](const auto& header) {
    return mcp::is_valid_header(header.first, header.second);
  });
  if (!headers_good) return rpc::detail_error(400, "Invalid header");
  if (request.body.size() > max_body_bytes) return rpc::detail_error(413, "Request body too large");
  return refuse_version(request);
}

}  // namespace ringside::worker
