#pragma once
// The fields of an auth context beside its encoded text: they must agree with it, and they limit when and from where it
// is good. Pure, any thread.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "mcp/message.h"
#include "mcp/session.h"

namespace ringside::mcp {

/// Judges the request's typed fields, if it has any, and writes what they say into `caller`: whose it is where the
/// encoded text does not tell, its permissions, an earlier expiry. `context` is the encoded text decoded, a valid JSON
/// object; empty: none. kInvalid (→ 400): the two contradict each other; kTimeout (→ 401): too early or too late;
/// kDenied (→ 403): not from this address. Lists are compared as sets, and only where the text has an array of strings.
[[nodiscard]] Status apply_typed_auth(const Request& request, std::string_view context, std::int64_t now_ms,
                                      Caller& caller);

/// Where the client is: what its gateway says (x-real-ip, else the first of x-forwarded-for), else the TCP peer. Empty:
/// nobody knows.
[[nodiscard]] std::string_view client_address(const Request& request);

/// Whether the address is that one, or of that network (`10.0.0.0/8`, `fd00::/8`). An IPv4 address in IPv6's clothes
/// is the IPv4 one. False for what is neither.
[[nodiscard]] bool is_in_network(std::string_view address, std::string_view network);

}  // namespace ringside::mcp
