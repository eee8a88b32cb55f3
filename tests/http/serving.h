#pragma once
// What the tests of the server share: a server on loopback, and a handler whose answers the test gives.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "http/server.h"
#include "tests/http/raw_socket.h"

namespace ringside::test {

inline const std::string kGet = "GET /mcp HTTP/1.1\r\nhost: x\r\n\r\n";

inline std::string post_of(const std::string& body, const std::string& headers = {}) {
  return "POST /mcp HTTP/1.1\r\nhost: x\r\n" + headers + "content-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

inline void echo(mcp::Request request, const std::shared_ptr<http::Responder>& responder) {
  responder->respond({200, {}, request.body});
}

/// Hands each responder to the test, which answers when it likes.
class Desk {
 public:
  http::Handler handler() {
    return [this](mcp::Request, std::shared_ptr<http::Responder> responder) {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(responder));
      changed_.notify_one();
    };
  }
  std::shared_ptr<http::Responder> next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return !waiting_.empty(); })) return nullptr;
    auto responder = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    return responder;
  }
  [[nodiscard]] std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<http::Responder>> waiting_;
};

/// A server on loopback, and sockets to it.
class Serving {
 public:
  explicit Serving(http::Handler handler = echo, http::ServerOptions options = {})
      : server_(std::make_unique<http::Server>(options, std::move(handler))), port_(*server_->listen_loopback(0)) {}
  [[nodiscard]] RawSocket connect() const { return RawSocket::connect(port_); }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  http::Server& server() { return *server_; }
  void end() { server_.reset(); }

 private:
  std::unique_ptr<http::Server> server_;
  std::uint16_t port_;
};

/// Waits until `responder`'s client is gone.
inline bool is_gone(const std::shared_ptr<http::Responder>& responder) {
  const auto gone = std::make_shared<std::promise<void>>();
  responder->on_gone([gone] { gone->set_value(); });
  return gone->get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
}

}  // namespace ringside::test
