#include "base/ip_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

namespace ringside {
namespace {

constexpr unsigned kBitsBeforeIpv4 = 96;
constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::array<std::uint8_t, 12> kNat64 = {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0};

IpAddress mapped(const in_addr& ipv4) {
  IpAddress address{};
  std::copy(kMapped.begin(), kMapped.end(), address.begin());
  std::memcpy(address.data() + kMapped.size(), &ipv4, sizeof ipv4);
  return address;
}

IpAddress undressed(const in6_addr& ipv6) {
  IpAddress address{};
  std::memcpy(address.data(), &ipv6, sizeof ipv6);
  if (std::equal(kNat64.begin(), kNat64.end(), address.begin())) {
    std::copy(kMapped.begin(), kMapped.end(), address.begin());
  }
  return address;
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  const std::string copy(text);
  in_addr ipv4{};
  if (::inet_pton(AF_INET, copy.c_str(), &ipv4) == 1) return mapped(ipv4);
  in6_addr ipv6{};
  if (::inet_pton(AF_INET6, copy.c_str(), &ipv6) == 1) return undressed(ipv6);
  return std::nullopt;
}

std::optional<IpAddress> ip_of(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in ipv4{};
    std::memcpy(&ipv4, &address, sizeof ipv4);
    return mapped(ipv4.sin_addr);
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 ipv6{};
    std::memcpy(&ipv6, &address, sizeof ipv6);
    return undressed(ipv6.sin6_addr);
  }
  return std::nullopt;
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto host = text.substr(0, slash);
  const auto address = parse_ip(host);
  if (!address) return std::nullopt;
  const bool is_ipv4 = host.find(':') == std::string_view::npos;
  const unsigned most = is_ipv4 ? 32 : 128;
  unsigned bits = most;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (digits.empty() || fault != std::errc() || end != digits.data() + digits.size() || bits > most) {
      return std::nullopt;
    }
  }
  return IpNetwork(*address, is_ipv4 ? bits + kBitsBeforeIpv4 : bits);
}

bool IpNetwork::contains(const IpAddress& address) const {
  const std::size_t whole = bits_ / 8;
  if (!std::equal(address_.begin(), address_.begin() + static_cast<std::ptrdiff_t>(whole), address.begin())) {
    return false;
  }
  const unsigned rest = bits_ % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xffU << (8U - rest));
  return ((address_.at(whole) ^ address.at(whole)) & mask) == 0;
}

}  // namespace ringside
