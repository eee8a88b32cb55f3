#pragma once
// What every door turns its request into, and what the runtime answers: plain values, owned by whoever holds them.
// The client library speaks in the same values.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace ringside::mcp {

/// HTTP headers in the order they came. Names are kept in lower case; a name stands at most once (the last value wins).
class Headers {
 public:
  using Item = std::pair<std::string, std::string>;

  /// Sets `name` (any case) to `value`.
  void set(std::string_view name, std::string value);
  /// The value of `name` (given in lower case), or nullptr.
  [[nodiscard]] const std::string* find(std::string_view name) const;
  /// The value of `name` (given in lower case), or an empty view.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] auto begin() const { return items_.begin(); }
  [[nodiscard]] auto end() const { return items_.end(); }

 private:
  std::vector<Item> items_;
};

/// True when HTTP allows the pair: the name a token (RFC 9110, 5.6.2), the value without control bytes but tab (5.5).
[[nodiscard]] bool is_valid_header(std::string_view name, std::string_view value);

/// What an auth context says in fields. Empty and nullopt: not stated.
struct TypedAuth {
  std::string subject;
  std::vector<std::string> teams;
  std::vector<std::string> permissions;
  std::vector<std::string> scopes;
  std::vector<std::string> allowed_ips;  ///< addresses or networks (CIDR); empty: any
  std::optional<bool> is_admin;
  std::uint64_t not_before_ms = 0;  ///< milliseconds since 1970; 0: not stated
  std::uint64_t not_after_ms = 0;
};

/// One request, as the contract's McpRequest has it. `body` is private memory of ours and has room behind its end for a
/// parser's padding (see padded_copy).
struct Request {
  std::string method;  ///< POST, GET or DELETE; any other is answered with 405
  std::string path;    ///< "/mcp" or "/servers/<id>/mcp"; empty counts as "/mcp"
  std::string query;   ///< without '?'
  Headers headers;
  std::string body;
  std::string server_id;                  ///< empty: not scoped
  std::string session_id;                 ///< empty: look in headers, query and params
  std::string auth_encoded;               ///< base64url JSON without padding; empty: none
  std::uint64_t auth_expires_ms = 0;      ///< milliseconds since 1970; 0: not stated
  std::shared_ptr<const TypedAuth> auth;  ///< null: not stated in fields
  bool affinity_forwarded = false;
  bool relayed = false;      ///< by another worker of ours, which has admitted it to its session
  bool from_edge = false;    ///< by a stranger, over TCP
  std::string peer_ip = {};  ///< of a TCP peer
  bool stream = false;       ///< the caller takes the answer piece by piece
  bool retry = false;        ///< sent again: the worker that had it died, and may have run it
  SteadyTime deadline = SteadyTime::max();
};

/// Headers of http.sock for what the contract's McpRequest states in fields of its own.
inline constexpr std::string_view kAuthContextHeader = "x-contextforge-auth-context";
inline constexpr std::string_view kAuthExpiresHeader = "x-contextforge-auth-expires-ms";
inline constexpr std::string_view kServerIdHeader = "x-contextforge-server-id";
inline constexpr std::string_view kRetryHeader = "x-ringside-retry";

/// One answer: an HTTP status, headers and a body.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

/// The room a body keeps behind its end, so that it is parsed where it lies (simdjson reads that far).
inline constexpr std::size_t kBodyPadding = 64;

/// Copies `bytes` once into a string with kBodyPadding behind it.
[[nodiscard]] std::string padded_copy(std::string_view bytes);

}  // namespace ringside::mcp
