#pragma once
// IP addresses and networks (CIDR), IPv4 and IPv6 alike. An IPv4 address counts as what it is also where it comes in
// the dress of an IPv6 one (::ffff:a.b.c.d, or 64:ff9b::a.b.c.d behind a NAT64).

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ringside {

/// 16 bytes in network order; IPv4 as ::ffff:a.b.c.d.
using IpAddress = std::array<std::uint8_t, 16>;

/// "10.1.2.3", "fe80::1", "[fe80::1]"; nothing when it is no address.
[[nodiscard]] std::optional<IpAddress> parse_ip(std::string_view text);
/// Of an AF_INET or AF_INET6 address; nothing for any other family.
[[nodiscard]] std::optional<IpAddress> ip_of(const sockaddr& address);

class IpNetwork {
 public:
  /// "10.0.0.0/8", "fe80::/10", or one address. Nothing when it is neither; bits behind the prefix do not matter.
  [[nodiscard]] static std::optional<IpNetwork> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& address) const;

 private:
  IpNetwork(const IpAddress& address, unsigned bits) : address_(address), bits_(bits) {}

  IpAddress address_;
  unsigned bits_;
};

}  // namespace ringside
