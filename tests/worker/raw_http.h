#pragma once
// A client that writes HTTP/1.1 by hand, so that a door is tested against nothing of ours.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"
#include "mcp/message.h"

namespace ringside::test {

class RawHttp {
 public:
  /// A connected socket; made blocking.
  explicit RawHttp(UniqueFd socket);

  /// The Host header from now on.
  void set_host(std::string host) { host_ = std::move(host); }
  void send(std::string_view method, std::string_view target, std::string_view body,
            std::string_view extra_headers = {});
  /// The next response with a Content-Length or none at all; status 0 when the connection closed first.
  mcp::Response receive();
  /// The next chunk of a chunked answer whose head was received; empty: the last. Nothing when the connection closed
  /// first.
  std::optional<std::string> chunk();
  mcp::Response ask(std::string_view method, std::string_view target, std::string_view body,
                    std::string_view extra_headers = {}) {
    send(method, target, body, extra_headers);
    return receive();
  }

 private:
  /// False at the end of the connection.
  bool read_more();

  UniqueFd socket_;
  std::string host_ = "localhost";
  std::string buffer_;
};

}  // namespace ringside::test
