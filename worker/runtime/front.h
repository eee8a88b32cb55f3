#pragma once
// What is asked of a request before its body is read: the rules that every door shares, in contract order. Pure.

#include <optional>
#include <string_view>

#include "base/result.h"
#include "mcp/message.h"
#include "worker/runtime/sessions.h"

namespace ringside::worker {

/// Judges path, method, headers, size and mcp-protocol-version; the answer that refuses the request, or nothing. On the
/// way it writes the server id that the path names into `request.server_id`.
[[nodiscard]] std::optional<mcp::Response> refuse_head(mcp::Request& request, std::size_t max_body_bytes);

/// What a caller gets whose auth context is no good (mcp::caller_of).
[[nodiscard]] mcp::Response refuse_caller(const Error& error);

/// 405 for a method that is not served; Allow says what is, with a session or without.
[[nodiscard]] mcp::Response refuse_method(bool has_session);

/// What a request gets whose session does not admit it; nothing when it does.
[[nodiscard]] std::optional<mcp::Response> refuse_session(SessionOutcome outcome);
inline constexpr std::string_view kStoreDown = "the session store is not available";
/// A status and nothing else.
[[nodiscard]] mcp::Response empty_response(int status);

/// `text` from a client, short enough to be told back in an error.
[[nodiscard]] std::string_view brief(std::string_view text);

}  // namespace ringside::worker
