#include "tests/http/raw_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/unix_socket.h"

namespace ringside::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

UniqueFd bound_socket(std::uint16_t& port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  RS_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0, "a free port");
  RS_CHECK(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "a bound port");
  port = ntohs(address.sin_port);
  return fd;
}

std::size_t content_length(const std::string& head) {
  const auto* found = ::strcasestr(head.c_str(), "\r\ncontent-length:");
  return found == nullptr ? 0 : std::strtoul(found + 17, nullptr, 10);
}

}  // namespace

RawSocket::RawSocket(UniqueFd fd) : fd_(std::move(fd)) {
  const timeval limit{20, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

RawSocket RawSocket::connect(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  RS_CHECK(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, "somebody listens");
  return RawSocket(std::move(fd));
}

bool RawSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool RawSocket::send_slowly(std::string_view bytes) {
  for (const char byte : bytes) {
    if (!send({&byte, 1})) return false;
  }
  return true;
}

bool RawSocket::fill() {
  std::array<char, 65536> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
  ended_ = got == 0 || (got < 0 && errno == ECONNRESET);
  if (got <= 0) return false;
  buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  return true;
}

std::string RawSocket::read_until(std::string_view mark) {
  while (buffer_.find(mark) == std::string::npos && fill()) {
  }
  const auto at = buffer_.find(mark);
  const std::size_t size = at == std::string::npos ? buffer_.size() : at + mark.size();
  std::string out = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return out;
}

std::string RawSocket::read_message() {
  std::string head = read_until("\r\n\r\n");
  const std::size_t length = content_length(head);
  while (buffer_.size() < length && fill()) {
  }
  head.append(buffer_, 0, length);
  buffer_.erase(0, length);
  return head;
}

std::string RawSocket::read_to_end() {
  while (fill()) {
  }
  return std::move(buffer_);
}

bool RawSocket::wait_for_end() {
  read_to_end();
  return ended_;
}

void RawSocket::close_sending() { ::shutdown(fd_.get(), SHUT_WR); }

void RawSocket::close_receiving() { ::shutdown(fd_.get(), SHUT_RD); }

void RawSocket::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  fd_.reset();
}

RawServer::RawServer(Script script) : script_(std::move(script)), listener_(bound_socket(port_)) {
  RS_CHECK(::listen(listener_.get(), 256) == 0, "a listening socket");
  start();
}

RawServer::RawServer(const std::string& path, Script script)
    : script_(std::move(script)), listener_(listen_at(path, SocketKind::kStream).value()) {
  ::fcntl(listener_.get(), F_SETFL, 0);  // blocking
  start();
}

void RawServer::start() {
  thread_ = std::thread([this] { run(); });
}

RawServer::~RawServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  thread_.join();
  for (auto& script : scripts_) script.join();
}

void RawServer::run() {
  for (;;) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return;
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    const int connection = accepted_.fetch_add(1);
    open_.push_back(fd.get());
    scripts_.emplace_back([this, connection, fd = std::move(fd)]() mutable {
      const int number = fd.get();
      RawSocket peer(std::move(fd));
      script_(peer, connection);
      const std::lock_guard gone(mutex_);
      std::erase(open_, number);
      peer.close();
    });
  }
}

std::uint16_t closed_port() {
  std::uint16_t port = 0;
  const UniqueFd fd = bound_socket(port);
  return port;
}

}  // namespace ringside::test
