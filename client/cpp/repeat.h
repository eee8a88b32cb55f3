#pragma once
// What becomes of a call whose worker died with it under way: nobody knows whether it ran. Private to the library.

#include "mcp/message.h"

namespace ringside {

/// True when running it twice does no more than running it once: ping, initialize, lists and reads, and closing a
/// session. A tools/call is not (its annotations are not known here), nor is a notification.
[[nodiscard]] bool is_safe_to_repeat(const mcp::Request& request);

/// 502 with -32010 "Outcome unknown", the request's own id and data.outcome: the caller decides whether to ask again.
[[nodiscard]] mcp::Response outcome_unknown(const mcp::Request& request);

}  // namespace ringside
