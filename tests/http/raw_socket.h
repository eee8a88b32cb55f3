#pragma once
// Plain TCP for talking to our HTTP pieces byte by byte, as a peer that follows no rules. Blocking, with a time limit
// of 20 s on every wait, so that a test that hangs fails instead.

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace ringside::test {

class RawSocket {
 public:
  explicit RawSocket(UniqueFd fd);
  static RawSocket connect(std::uint16_t port);

  /// False when the peer does not take it any more.
  bool send(std::string_view bytes);
  /// The same, one byte per packet.
  bool send_slowly(std::string_view bytes);
  /// Reads until `mark` has come; all that was read so far and not given out yet. Less when the connection ends first.
  std::string read_until(std::string_view mark);
  /// Head and body of one HTTP message with a content-length (or without a body).
  std::string read_message();
  /// Everything up to the end of the connection.
  std::string read_to_end();
  /// True once the peer has closed; what it still sends is thrown away.
  bool wait_for_end();
  void close_sending();
  /// Takes nothing more; what has come can still be read. A peer on a Unix socket notices when it sends.
  void close_receiving();
  void close() { fd_.reset(); }
  /// Closes with a reset instead of a farewell.
  void reset();
  [[nodiscard]] UniqueFd release() { return std::move(fd_); }

 private:
  bool fill();

  UniqueFd fd_;
  std::string buffer_;
  bool ended_ = false;
};

/// A server without manners: runs `script` for each connection, on a thread each, and closes the connection after it.
class RawServer {
 public:
  using Script = std::function<void(RawSocket& peer, int connection)>;
  /// On loopback, or at the path of a Unix socket.
  explicit RawServer(Script script);
  RawServer(const std::string& path, Script script);
  ~RawServer();  ///< ends what its scripts still wait for
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/mcp"; }
  [[nodiscard]] int accepted() const { return accepted_.load(); }

 private:
  void start();
  void run();

  Script script_;
  std::uint16_t port_ = 0;
  UniqueFd listener_;
  std::atomic<int> accepted_{0};
  std::mutex mutex_;
  bool stopping_ = false;
  std::vector<int> open_;
  std::vector<std::thread> scripts_;
  std::thread thread_;
};

/// A loopback port that nobody listens on.
std::uint16_t closed_port();

}  // namespace ringside::test
