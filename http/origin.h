#pragma once
// Who a browser says it was sent by, and whom it believes to talk to: the rules against DNS rebinding (2025-11-25,
// basic/transports, "Security Warning"). Pure.

#include <string>
#include <string_view>
#include <vector>

namespace ringside::http {

/// What is allowed beside this machine's own names (localhost, 127.0.0.1, [::1], with any port).
struct EdgeNames {
  std::vector<std::string> hosts;    ///< with a port: that one only; else any
  std::vector<std::string> origins;  ///< scheme://host[:port], whole
};

/// `host`: the Host header.
[[nodiscard]] bool is_allowed_host(std::string_view host, const EdgeNames& names);
/// `origin`: the Origin header. Of one that is not listed only the host counts.
[[nodiscard]] bool is_allowed_origin(std::string_view origin, const EdgeNames& names);

}  // namespace ringside::http
