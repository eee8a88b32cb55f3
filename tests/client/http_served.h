#pragma once
// An http.sock for tests of the client library.

#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/unix_socket.h"
#include "client/cpp/client.h"
#include "http/server.h"

namespace ringside::test {

/// http.sock in a folder. Answers /health, and gives all else to the handler.
class Served {
 public:
  Served(const std::string& path, http::Handler handler, int health_status = 200)
      : handler_(std::move(handler)),
        server_({},
                [this, health_status](Request request, std::shared_ptr<http::Responder> responder) {
                  if (request.path != "/health") return handler_(std::move(request), std::move(responder));
                  Response response;
                  response.status = health_status;
                  responder->respond(std::move(response));
                }),
        listener_(listen_at(path, SocketKind::kStream).value()),
        thread_([this] {
          pollfd entry{listener_.get(), POLLIN, 0};
          while (::poll(&entry, 1, -1) == 1) {
            UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!connection) return;
            server_.adopt(std::move(connection));
          }
        }) {}
  ~Served() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  http::Handler handler_;
  http::Server server_;
  UniqueFd listener_;
  std::thread thread_;
};

}  // namespace ringside::test
