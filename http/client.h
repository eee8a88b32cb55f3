#pragma once
// The HTTP client for everybody: libcurl's multi interface on one thread of its own, connections pooled per host, with
// a pump that hands out a body as it comes. No curl type is seen outside the room. The thread is made when the first
// exchange starts. Environment proxies (http_proxy, …) are honoured, but never for loopback or a Unix socket.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ip_network.h"
#include "base/result.h"
#include "mcp/message.h"

namespace ringside::http {

struct ClientOptions {
  long max_connections_per_host = 8;  ///< requests beyond wait inside until one is free
  std::size_t max_header_bytes = std::size_t{64} * 1024;
};

/// How a host is reached, and which addresses never are. Shared by its requests.
struct Access {
  std::string ca_file;      ///< PEM: whom to trust; empty: whom the system trusts
  std::string client_cert;  ///< PEM, with its chain; empty: none is shown
  std::string client_key;   ///< PEM; empty: in client_cert's file
  std::string proxy;        ///< http://… or socks5h://…; empty: as the environment says
  /// Checked on the address that a connection is about to go to, whatever name or proxy has led there, and on a host
  /// that is an address in the URL.
  std::vector<IpNetwork> blocked;
};

struct ClientRequest {
  std::string method = "POST";
  std::string url;          ///< http:// or https://; redirects are never followed
  std::string unix_socket;  ///< connect here instead of the URL's host; empty: no
  mcp::Headers headers;     ///< sent as they are, but for those that frame a message (content-length, …)
  std::string body;         ///< not copied on its way
  /// May be sent again when a kept connection turns out to be dead. Otherwise that is done only where the connection
  /// did not take the whole request, so that no server can have run it, and is kUnavailable where it did.
  bool repeatable = false;
  /// The answer may come compressed; on_data gets it plain.
  bool takes_compressed = false;
  std::shared_ptr<const Access> access;  ///< null: nothing special
  Duration connect_timeout = std::chrono::seconds(5);
  SteadyTime deadline = SteadyTime::max();  ///< of the whole exchange
};

/// True for a kUnavailable where the server cannot have had the whole request: nothing of it ran.
[[nodiscard]] bool never_arrived(const Error& error);

/// What whoever takes a body says to each piece of it.
enum class Flow {
  kMore,  ///< go on
  kWait,  ///< this piece was taken, the next must wait for Client::resume
  kStop,  ///< end the exchange at once; on_done follows, with kCancelled
};

/// What becomes of a request. Called on the client's thread, in this order: on_head once, on_data any number of times,
/// on_done exactly once (also without a head). They must not block.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void on_head(int status, const mcp::Headers& headers) = 0;
  virtual Flow on_data(std::string_view bytes) = 0;
  /// kUnavailable: not connected, or the connection broke before a head came. kUpstream: it broke in mid-answer, or
  /// what came is not HTTP. kDenied: the address is blocked. kInvalid: the request cannot be sent (URL, method, a
  /// header that HTTP forbids). kTimeout: the deadline passed. kCancelled: cancel(), on_data or ~Client; no reason to
  /// start it again.
  virtual void on_done(const Status& status) = 0;
};

class Client {
 public:
  explicit Client(ClientOptions options);
  /// Ends everything under way with kCancelled, then joins the thread. Not from a callback.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Starts an exchange. Any thread. The id is good for cancel().
  std::uint64_t start(ClientRequest request, std::shared_ptr<Exchange> exchange);
  /// Ends an exchange soon, with kCancelled; nothing happens if it is over. Any thread.
  void cancel(std::uint64_t id);

  /// Goes on with an exchange whose on_data said kWait; also when it says so only now. Any thread.
  void resume(std::uint64_t id);

  /// A whole answer, for callers that want no pump; fails with kTooLarge over `max_body_bytes`. `done` on the client's
  /// thread.
  std::uint64_t fetch(ClientRequest request, std::size_t max_body_bytes,
                      std::function<void(Result<mcp::Response>)> done);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace ringside::http
