#include "supervisor/tcp_place.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace ringside::supervisor {
namespace {

constexpr int kBacklog = 1024;
constexpr std::uint32_t kLoopbackNet = 127;

/// A socket address of either family.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  [[nodiscard]] sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr_in& v4() const { return reinterpret_cast<const sockaddr_in&>(storage); }
  [[nodiscard]] const sockaddr_in6& v6() const { return reinterpret_cast<const sockaddr_in6&>(storage); }
};

std::optional<Address> to_address(const TcpPlace& place) {
  Address address;
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  if (::inet_pton(AF_INET, place.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(place.port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  v6 = {};
  if (::inet_pton(AF_INET6, place.host.c_str(), &v6.sin6_addr) != 1) return std::nullopt;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(place.port);
  address.size = sizeof(sockaddr_in6);
  return address;
}

TcpPlace to_place(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.storage.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &address.v4().sin_addr, text.data(), text.size());
    return {text.data(), ntohs(address.v4().sin_port)};
  }
  if (address.storage.ss_family != AF_INET6) return {};
  const in6_addr& bytes = address.v6().sin6_addr;
  // An IPv4 client of a socket that serves both is told by its own address.
  if (IN6_IS_ADDR_V4MAPPED(&bytes)) {
    ::inet_ntop(AF_INET, &bytes.s6_addr[12], text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, &bytes, text.data(), text.size());
  }
  return {text.data(), ntohs(address.v6().sin6_port)};
}

}  // namespace

std::optional<TcpPlace> parse_tcp_place(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  TcpPlace place;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  place.host = host == "localhost" ? "127.0.0.1" : host;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, place.port);
  if (error != std::errc() || stop != end || !to_address(place)) return std::nullopt;
  return place;
}

bool is_loopback(const TcpPlace& place) {
  const auto address = to_address(place);
  if (!address) return false;
  if (address->storage.ss_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&address->v6().sin6_addr) != 0;
  return ntohl(address->v4().sin_addr.s_addr) >> 24U == kLoopbackNet;
}

Result<UniqueFd> listen_at(const TcpPlace& place) {
  auto address = to_address(place);
  if (!address) return Error{Code::kInvalid, 0, "no address to listen at"};
  UniqueFd socket(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error{Code::kSystem, errno, "no socket to listen on"};
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.get(), address->raw(), address->size) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return Error{errno == EADDRINUSE ? Code::kUnavailable : Code::kSystem, errno, "the port cannot be listened on"};
  }
  return socket;
}

TcpPlace bound_place(int socket) {
  Address address;
  if (::getsockname(socket, address.raw(), &address.size) != 0) return {};
  return to_place(address);
}

std::string peer_address(int socket) {
  Address address;
  if (::getpeername(socket, address.raw(), &address.size) != 0) return {};
  return to_place(address).host;
}

std::string to_string(const TcpPlace& place) {
  const bool v6 = place.host.find(':') != std::string::npos;
  return (v6 ? "[" + place.host + "]" : place.host) + ":" + std::to_string(place.port);
}

}  // namespace ringside::supervisor
