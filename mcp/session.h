#pragma once
// Who may use a session. Pure rules over values; the stores keep the records, the runtime asks.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mcp/message.h"

namespace ringside::mcp {

/// The revisions that this runtime speaks, newest first.
inline constexpr std::string_view kProtocolVersions[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};
[[nodiscard]] bool is_supported_version(std::string_view version);
/// True for the form YYYY-MM-DD.
[[nodiscard]] bool is_well_formed_version(std::string_view version);
/// "2025-11-25, 2025-06-18, …": for error texts.
[[nodiscard]] std::string supported_versions();

/// What a store keeps of a session.
struct SessionRecord {
  std::string id;
  std::string server_id;             ///< scope it was made in; empty: none
  std::string owner;                 ///< email, else sub, of the auth context; empty: nobody's
  std::string fingerprint;           ///< see fingerprint(); of the last request that proved the owner
  std::int64_t auth_expires_ms = 0;  ///< of that request's auth context; 0: not stated
  std::string protocol_version;      ///< negotiated
  std::int64_t created_ms = 0;       ///< wall clock
  std::int64_t seen_ms = 0;          ///< wall clock; slides
  std::string client;                ///< raw JSON: {"capabilities":…,"clientInfo":…}, as initialize had them
  std::string home;                  ///< where what cannot be in a store lives; empty: nowhere yet
  std::string state;                 ///< raw JSON of what is said again to a new upstream session: level, subscriptions
};

/// Who a request comes from, by its auth context and headers.
struct Caller {
  bool has_context = false;
  std::string owner;
  std::int64_t expires_ms = 0;
  std::string fingerprint;
  std::vector<std::string> permissions;  ///< by TypedAuth
  bool is_admin = false;
};

/// SHA-256, in hex, of the authorization and cookie headers: `NAME=LENGTH:VALUE\n` of each that is there, in that
/// order, so that no value can pass for the other's. Empty when both are absent or empty.
[[nodiscard]] std::string fingerprint(const Headers& headers);

/// Decodes the auth context. kInvalid (→ 400) when it cannot be decoded (at most 64 KiB of base64url
/// without padding, of a JSON object in which neither email nor sub stands twice), kTimeout (→ 401 "Auth context
/// expired") when it is past its expiry; also what apply_typed_auth (typed_auth.h) finds wrong with its fields.
[[nodiscard]] Result<Caller> caller_of(const Request& request, std::int64_t now_ms);

enum class Admission {
  kAdmitted,
  kDenied,   ///< 403 "Session access denied"
  kExpired,  ///< 401 "Auth context expired": the context it would have reused is past its expiry
};

/// The rule: the same server scope; a session with an owner admits that owner only, either by the request's own context
/// or, without one, by reuse: the same fingerprint and an unexpired context (no fingerprint at all proves nothing and
/// is denied). A session without an owner admits the same fingerprint only; without a context of its own the one it
/// reuses must be unexpired, too.
[[nodiscard]] Admission admit(const SessionRecord& session, std::string_view server_id, const Caller& caller,
                              std::int64_t now_ms);

/// Looks for a session id in contract order: the field, `mcp-session-id`, the `session_id` query parameter.
/// (`initialize` params come last; the runtime looks there itself.) Empty: none.
[[nodiscard]] std::string find_session_id(const Request& request);
/// 1 to 256 visible ASCII bytes.
[[nodiscard]] bool is_valid_session_id(std::string_view id);

}  // namespace ringside::mcp
