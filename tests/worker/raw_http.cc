#include "tests/worker/raw_http.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <utility>

namespace ringside::test {

RawHttp::RawHttp(UniqueFd socket) : socket_(std::move(socket)) {
  ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) & ~O_NONBLOCK);
}

void RawHttp::send(std::string_view method, std::string_view target, std::string_view body,
                   std::string_view extra_headers) {
  std::string bytes = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nhost: " + host_ + "\r\n" +
                      std::string(extra_headers) + "content-length: " + std::to_string(body.size()) + "\r\n\r\n";
  bytes += body;
  for (std::string_view rest = bytes; !rest.empty();) {
    const ssize_t sent = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool RawHttp::read_more() {
  std::array<char, 65536> chunk{};
  const ssize_t size = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
  if (size <= 0) return false;
  buffer_.append(chunk.data(), static_cast<std::size_t>(size));
  return true;
}

mcp::Response RawHttp::receive() {
  mcp::Response response;
  response.status = 0;
  while (buffer_.find("\r\n\r\n") == std::string::npos) {
    if (!read_more()) return response;
  }
  const std::size_t head_end = buffer_.find("\r\n\r\n");
  std::string_view head = std::string_view(buffer_).substr(0, head_end);
  std::from_chars(head.data() + 9, head.data() + 12, response.status);
  while (head.find("\r\n") != std::string_view::npos) {
    head.remove_prefix(head.find("\r\n") + 2);
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t colon = line.find(':');
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    response.headers.set(line.substr(0, colon), std::string(value));
  }
  std::size_t length = 0;
  const std::string_view stated = response.headers.get("content-length");
  std::from_chars(stated.data(), stated.data() + stated.size(), length);
  buffer_.erase(0, head_end + 4);
  while (buffer_.size() < length) {
    if (!read_more()) return response;
  }
  response.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return response;
}

std::optional<std::string> RawHttp::chunk() {
  while (buffer_.find("\r\n") == std::string::npos) {
    if (!read_more()) return std::nullopt;
  }
  std::size_t size = 0;
  std::from_chars(buffer_.data(), buffer_.data() + buffer_.size(), size, 16);
  const std::size_t begin = buffer_.find("\r\n") + 2;
  while (buffer_.size() < begin + size + 2) {
    if (!read_more()) return std::nullopt;
  }
  std::string bytes = buffer_.substr(begin, size);
  buffer_.erase(0, begin + size + 2);
  return bytes;
}

}  // namespace ringside::test
