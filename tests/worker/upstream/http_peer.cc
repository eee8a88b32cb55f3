#include "tests/worker/upstream/http_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/text.h"
#include "mcp/envelope.h"

namespace ringside::worker {

void PeerConnection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return hang_up();
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void PeerConnection::trickle(std::string_view bytes) {
  for (const char byte : bytes) write({&byte, 1});
}

void PeerConnection::answer(int status, std::string_view content_type, std::string_view body,
                            std::string_view more_headers) {
  write("HTTP/1.1 " + std::to_string(status) + " Status\r\nContent-Type: " + std::string(content_type) +
        "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more_headers) + "\r\n" +
        std::string(body));
}

void PeerConnection::begin_events() {
  write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
  hang_up();
}

bool PeerConnection::wait_gone() {
  pollfd gone{fd_, POLLIN | POLLRDHUP, 0};
  return ::poll(&gone, 1, 10'000) == 1;
}

HttpPeer::HttpPeer(Script script)
    : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  RS_CHECK(::bind(listener_.get(), generic, size) == 0 && ::listen(listener_.get(), 256) == 0,
           "a loopback port is free");
  RS_CHECK(::getsockname(listener_.get(), generic, &size) == 0, "a bound socket has a name");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { listen(); });
}

HttpPeer::~HttpPeer() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    for (const auto& socket : sockets_) ::shutdown(socket.get(), SHUT_RDWR);
  }
  acceptor_.join();
  for (auto& thread : threads_) thread.join();
}

std::vector<PeerRequest> HttpPeer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

bool HttpPeer::wait_for(std::size_t count, const std::function<bool(const PeerRequest&)>& wanted) const {
  std::unique_lock lock(mutex_);
  return arrived_.wait_for(lock, std::chrono::seconds(10), [&] {
    return static_cast<std::size_t>(std::count_if(requests_.begin(), requests_.end(), wanted)) >= count;
  });
}

void HttpPeer::listen() {
  for (;;) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    ++connections_;
    sockets_.emplace_back(fd);
    if (stopped_) return;
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void HttpPeer::serve(int fd) {
  PeerConnection connection(fd);
  std::string buffer;
  for (PeerRequest request; connection.open_ && read_request(fd, buffer, request); request = {}) {
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    arrived_.notify_all();
    script_(request, connection);
  }
  ::shutdown(fd, SHUT_RDWR);
}

bool HttpPeer::read_request(int fd, std::string& buffer, PeerRequest& request) {
  const auto more = [&] {
    char chunk[16 * 1024];
    const auto count = ::recv(fd, chunk, sizeof chunk, 0);
    if (count > 0) buffer.append(chunk, static_cast<std::size_t>(count));
    return count > 0;
  };
  auto end = buffer.find("\r\n\r\n");
  for (; end == std::string::npos; end = buffer.find("\r\n\r\n")) {
    if (!more()) return false;
  }
  request.method = buffer.substr(0, buffer.find(' '));
  for (auto at = buffer.find("\r\n") + 2; at < end;) {
    const auto line_end = buffer.find("\r\n", at);
    const auto colon = buffer.find(':', at);
    request.headers[ascii_lower(buffer.substr(at, colon - at))] = buffer.substr(colon + 2, line_end - colon - 2);
    at = line_end + 2;
  }
  std::size_t length = 0;
  const auto& stated = request.headers["content-length"];
  std::from_chars(stated.data(), stated.data() + stated.size(), length);
  const auto whole = end + 4 + length;
  while (buffer.size() < whole) {
    if (!more()) return false;
  }
  request.body = buffer.substr(end + 4, length);
  buffer.erase(0, whole);
  mcp::EnvelopeReader reader;
  mcp::Envelope message;
  if (reader.read(request.body, message) == mcp::EnvelopeFault::kNone) {
    request.rpc_method = message.method;
    request.rpc_id = message.id;
  }
  return true;
}

HttpPeer::Script good_server(std::function<bool(const PeerRequest&, PeerConnection&)> more, std::string session_id) {
  return [more = std::move(more), session_id = std::move(session_id)](const PeerRequest& request, PeerConnection& to) {
    if (more && more(request, to)) return;
    if (request.method == "DELETE") return to.answer(200, "text/plain", "");
    if (request.rpc_method == "initialize") {
      return to.answer(200, "application/json",
                       mcp::result_body(request.rpc_id, R"({"protocolVersion":"2025-06-18","capabilities":{}})"),
                       session_id.empty() ? "" : "Mcp-Session-Id: " + session_id + "\r\n");
    }
    if (request.rpc_id.empty() || request.rpc_method.empty()) return to.answer(202, "text/plain", "");
    const auto params = mcp::member(request.body, "params");
    to.json(mcp::result_body(request.rpc_id, params.value_or("null")));
  };
}

}  // namespace ringside::worker
