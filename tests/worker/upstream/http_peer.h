#pragma once
// An HTTP server on raw sockets that can misbehave at any byte. A thread per connection; each request is given to the
// script, which writes what it likes.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace ringside::worker {

struct PeerRequest {
  std::string method;                          ///< of HTTP
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  std::string rpc_method;  ///< of JSON-RPC; empty: none
  std::string rpc_id;      ///< raw
};

class PeerConnection {
 public:
  explicit PeerConnection(int fd) : fd_(fd) {}
  void write(std::string_view bytes);
  /// One byte a packet.
  void trickle(std::string_view bytes);
  /// A whole answer with a Content-Length.
  void answer(int status, std::string_view content_type, std::string_view body, std::string_view more_headers = {});
  void json(std::string_view body) { answer(200, "application/json", body); }
  /// The head of an event stream that ends with the connection.
  void begin_events();
  /// Waits until the client closes; true if it does within ten seconds.
  [[nodiscard]] bool wait_gone();
  void hang_up() { open_ = false; }

 private:
  friend class HttpPeer;
  int fd_;
  bool open_ = true;
};

class HttpPeer {
 public:
  using Script = std::function<void(const PeerRequest&, PeerConnection&)>;

  /// Serves on a port of its own. The script runs on the connection's thread.
  explicit HttpPeer(Script script);
  ~HttpPeer();
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/mcp"; }
  [[nodiscard]] std::vector<PeerRequest> requests() const;
  /// Waits until `count` requests fulfil `wanted`; false after ten seconds.
  [[nodiscard]] bool wait_for(std::size_t count, const std::function<bool(const PeerRequest&)>& wanted) const;
  [[nodiscard]] std::size_t connections() const { return connections_; }

 private:
  void listen();
  void serve(int fd);
  [[nodiscard]] static bool read_request(int fd, std::string& buffer, PeerRequest& request);

  Script script_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable arrived_;
  std::vector<PeerRequest> requests_;
  std::list<std::thread> threads_;
  std::list<UniqueFd> sockets_;
  std::atomic<std::size_t> connections_{0};
  bool stopped_ = false;
  std::thread acceptor_;
};

/// A script that is a good MCP server with a session for everything that `more` does not take (it returns false then).
HttpPeer::Script good_server(std::function<bool(const PeerRequest&, PeerConnection&)> more = nullptr,
                             std::string session_id = "session-1");

}  // namespace ringside::worker
