#pragma once
// One connection of the server: reads a request, hands it to the handler, writes the answer, and again. Owned by the
// server's loop and by its own pending operations; runs on the loop's thread only. Private to the server.

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "http/mailbox.h"
#include "http/request_reader.h"
#include "http/server.h"
#include "http/tls_context.h"

namespace ringside::http {

/// What a connection needs of the loop that it lives in.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  [[nodiscard]] virtual const ServerOptions& options() const = 0;
  [[nodiscard]] virtual const Handler& handler() const = 0;
  /// Connections are to end: the next answer says that it is the last.
  [[nodiscard]] virtual bool draining() const = 0;
  /// Called once; the connection is let go.
  virtual void closed(Connection& connection) = 0;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Time = std::chrono::steady_clock::time_point;

  Connection(ConnectionHost& host, boost::asio::io_context& io, Socket socket, std::string peer_ip);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  /// Ends once what has been sent is answered; see Server::drain.
  void drain();
  /// Closes at once; a handler that is at work hears on_gone.
  void close();
  /// Ends what has taken too long.
  void sweep(Time now);
  /// A part of the answer to the request under way; others are dropped.
  void take(AnswerPart part);

 private:
  enum class State {
    kHandshake,  // TLS has not begun
    kIdle,       // no byte of a request is here
    kReading,    // a request is coming
    kHandling,   // the handler has it; its answer may have begun
    kAnswering,  // the answer is complete, and being written
    kLingering,  // refused: what is still sent is thrown away, so that the client gets to read why
    kClosed,
  };

  void shake_hands();
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  void on_end_of_input(bool broken);
  void advance();
  void handle();
  void refuse(int status, std::string_view message);
  void respond(mcp::Response response);
  void begin(const mcp::Response& head);
  void write_chunk(std::string bytes);
  void complete();
  void on_answered();
  void hang_up();
  void linger();

  void enqueue(std::string bytes);
  void flush();
  void on_written(const boost::system::error_code& error, std::size_t bytes);

  ConnectionHost& host_;
  Socket socket_;
  const std::string peer_ip_;
  const std::shared_ptr<Tls::Context> context_;  // outlives the stream
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
  RequestReader reader_;
  std::shared_ptr<Mailbox> mailbox_;
  State state_ = State::kIdle;
  Time deadline_;              // of the state; see sweep
  std::uint64_t request_ = 0;  // number of the request under way
  RequestReader::Form form_;
  bool streaming_ = false;  // the head of a chunked answer is out
  bool closing_ = false;    // the answer under way is the connection's last
  bool refused_ = false;
  bool hung_up_ = false;  // the client can send nothing more; what it has sent is still answered
  bool read_pending_ = false;
  bool read_aside_ = false;  // the pending read goes to aside_, not into the reader
  // A read is pending while the reader works on what it has, to see the client go; it must not write into the reader
  // then.
  std::array<char, 4096> aside_;
  std::deque<std::string> queue_;
  std::size_t queue_bytes_ = 0;
  std::size_t front_written_ = 0;
  bool write_pending_ = false;
};

}  // namespace ringside::http
