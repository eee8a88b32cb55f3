#pragma once
// Where strangers connect: an address and a port to listen at. Free functions, any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::supervisor {

struct TcpPlace {
  std::string host;        ///< a numeric address, IPv6 without brackets
  std::uint16_t port = 0;  ///< 0: any; the log says which

  bool operator==(const TcpPlace&) const = default;
};

/// "HOST:PORT"; HOST is an IPv4 address, an IPv6 address in brackets, or "localhost" (127.0.0.1). Nothing otherwise:
/// a name that must be looked up could mean another machine tomorrow.
[[nodiscard]] std::optional<TcpPlace> parse_tcp_place(std::string_view text);

/// Only this machine's own processes reach it.
[[nodiscard]] bool is_loopback(const TcpPlace& place);

/// Binds and listens (non-blocking, CLOEXEC). kUnavailable when the port is taken.
[[nodiscard]] Result<UniqueFd> listen_at(const TcpPlace& place);

/// Where a listening socket is bound; an empty host when that cannot be told.
[[nodiscard]] TcpPlace bound_place(int socket);
/// The other end's address, as numbers; empty when it is gone.
[[nodiscard]] std::string peer_address(int socket);
/// As parse_tcp_place reads it.
[[nodiscard]] std::string to_string(const TcpPlace& place);

}  // namespace ringside::supervisor
