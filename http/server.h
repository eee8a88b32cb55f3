#pragma once
// The HTTP/1.1 server pieces for everybody: Boost.Beast on one thread of its own, serving connections that somebody
// else accepted, or listening on loopback by itself (for the example server and tests). No Boost type is seen outside
// the room.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "http/tls.h"
#include "mcp/message.h"

namespace ringside::http {

struct ServerOptions {
  std::size_t max_body_bytes = 64ULL << 20U;              ///< beyond: 413, and the connection closes
  std::size_t max_header_bytes = std::size_t{64} * 1024;  ///< beyond: 431
  std::chrono::milliseconds idle_timeout{
      75'000};  ///< between requests, and without progress while an answer is written
  std::chrono::milliseconds request_timeout{30'000};  ///< from a request's first byte to its last; beyond: 408
  std::shared_ptr<Tls> tls = nullptr;                 ///< none: bytes as they are
};

/// The answer to one request: respond() once, or begin(), write() any number of times, end() once. Any thread. If it is
/// dropped without either, the client gets 500 (or, in the middle of a chunked body, a connection that breaks off).
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void respond(mcp::Response response) = 0;
  virtual void begin(int status, mcp::Headers headers) = 0;  ///< chunked body follows
  /// A client that leaves more than max_body_bytes of them unread is closed. False: it leaves much unread; on_room
  /// tells when it has read all.
  virtual bool write(std::string bytes) = 0;
  virtual void end() = 0;
  /// Called on the server's thread, each time that there is room again after a write() that said no, also because the
  /// client is gone. Replaces the one before. It must not keep the Responder alive.
  virtual void on_room(std::function<void()> callback) = 0;
  /// Called at most once, when the client goes away (or closes its sending half, or the server ends) before the answer
  /// is complete; at once if it has gone already. On the server's thread or this one. It must not keep the Responder
  /// alive.
  virtual void on_gone(std::function<void()> callback) = 0;
};

/// Gets each request (method, path and query split from the target, body with mcp::kBodyPadding) on the server's
/// thread; one at a time per connection. Headers that stand several times are joined by ", " (cookie by "; "); those
/// about the connection itself (transfer-encoding, expect, …) are left out. Must not block.
using Handler = std::function<void(mcp::Request request, std::shared_ptr<Responder> responder)>;

/// Malformed requests are answered here ({"error": …, "message": …}) and never reach the handler: 400, 408, 413, 417,
/// 431.
class Server {
 public:
  Server(ServerOptions options, Handler handler);
  ~Server();  ///< closes every connection, then joins the thread; not from a callback
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves a connected stream socket (Unix or TCP, non-blocking); its requests say that they come from `peer_ip`. Any
  /// thread.
  void adopt(UniqueFd connection, std::string peer_ip = {});
  /// Listens on a loopback TCP port (0: any) and serves what connects; the port that was bound. Once per server.
  Result<std::uint16_t> listen_loopback(std::uint16_t port);
  /// Runs `what` on the server's thread, soon. Any thread.
  void run(std::function<void()> what);
  /// Answers what is under way, accepts nothing new, closes idle connections; `drained` is called once all are closed,
  /// on the server's thread. On a Unix socket each request that the client could send whole is answered, also one that
  /// crossed with the end; a send that comes too late fails. Over TCP such a request is lost.
  void drain(std::function<void()> drained);
  [[nodiscard]] std::size_t open_connections() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace ringside::http
