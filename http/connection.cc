#include "http/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <utility>
#include <vector>

#include "http/response_head.h"

namespace ringside::http {
namespace {

constexpr std::size_t kBuffersPerWrite = 16;
constexpr auto kLingerTime = std::chrono::seconds(2);

Connection::Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Connection::Connection(ConnectionHost& host, boost::asio::io_context& io, Socket socket, std::string peer_ip)
    : host_(host),
      socket_(std::move(socket)),
      peer_ip_(std::move(peer_ip)),
      context_(host.options().tls ? host.options().tls->current() : nullptr),
      reader_({host.options().max_body_bytes, host.options().max_header_bytes}),
      mailbox_(std::make_shared<Mailbox>(io, *this)),
      deadline_(now() + host.options().idle_timeout) {}

void Connection::start() {
  if (!context_) return read();
  tls_.emplace(socket_, context_->ssl);
  shake_hands();
}

void Connection::shake_hands() {
  state_ = State::kHandshake;
  deadline_ = now() + host_.options().request_timeout;
  tls_->async_handshake(boost::asio::ssl::stream_base::server,
                        [self = shared_from_this()](const boost::system::error_code& error) {
                          if (self->state_ == State::kClosed) return;
                          if (error || self->closing_) return self->close();
                          self->state_ = State::kIdle;
                          self->deadline_ = now() + self->host_.options().idle_timeout;
                          self->read();
                        });
}

void Connection::drain() {
  if (state_ == State::kIdle) return hang_up();
  // An answer whose head is out has promised to take another request; see on_answered.
  const bool promised = state_ == State::kAnswering || streaming_;
  if (!promised) closing_ = true;
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  state_ = State::kClosed;
  boost::system::error_code ignored;
  socket_.close(ignored);
  host_.closed(*this);
  mailbox_->close();
}

void Connection::sweep(Time time) {
  if (deadline_ > time) return;
  if (state_ == State::kReading) return refuse(408, "The request took too long");
  if (state_ == State::kIdle && !hung_up_) return hang_up();
  close();
}

void Connection::read() {
  if (read_pending_ || state_ == State::kClosed) return;
  // Who sends requests faster than they are answered waits in its own socket.
  if (state_ != State::kReading && reader_.buffered() >= host_.options().max_header_bytes) return;
  read_pending_ = true;
  read_aside_ = state_ != State::kReading;
  const std::span<char> into = read_aside_ ? std::span<char>(aside_) : reader_.space();
  auto done = [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
    self->on_read(error, bytes);
  };
  const auto buffer = boost::asio::buffer(into.data(), into.size());
  if (tls_) {
    tls_->async_read_some(buffer, std::move(done));
  } else {
    socket_.async_read_some(buffer, std::move(done));
  }
}

void Connection::on_read(const boost::system::error_code& error, std::size_t bytes) {
  read_pending_ = false;
  if (state_ == State::kClosed) return;
  if (error) return on_end_of_input(error != boost::asio::error::eof);
  if (refused_) return read();  // and throws it away
  if (read_aside_) {
    reader_.append({aside_.data(), bytes});
  } else {
    reader_.commit(bytes);
  }
  if (state_ == State::kIdle || state_ == State::kReading) return advance();
  read();
}

void Connection::on_end_of_input(bool broken) {
  // A complete answer is still owed to a client that has only closed its sending half, and any to one whose sending
  // half we have closed.
  if (!broken && (state_ == State::kAnswering || (state_ == State::kHandling && hung_up_))) {
    closing_ = true;
    return;
  }
  close();
}

void Connection::advance() {
  for (;;) {
    if (state_ == State::kIdle) {
      if (!reader_.started()) return read();
      state_ = State::kReading;
      deadline_ = now() + host_.options().request_timeout;
    }
    switch (reader_.advance()) {
      case RequestReader::Step::kNeedMore:
        // Only the empty lines before a request were here.
        if (!reader_.started()) {
          state_ = State::kIdle;
          deadline_ = now() + host_.options().idle_timeout;
        }
        return read();
      case RequestReader::Step::kContinue:
        enqueue("HTTP/1.1 100 Continue\r\n\r\n");
        flush();
        break;
      case RequestReader::Step::kRefused:
        return refuse(reader_.refusal().status, reader_.refusal().message);
      case RequestReader::Step::kDone:
        return handle();
    }
  }
}

void Connection::handle() {
  form_ = reader_.form();
  mcp::Request request = reader_.take();
  request.peer_ip = peer_ip_;
  state_ = State::kHandling;
  deadline_ = Time::max();
  ++request_;
  streaming_ = false;
  closing_ = !form_.keep_alive || host_.draining() || hung_up_;
  read();
  host_.handler()(std::move(request), mailbox_->responder(request_));
}

void Connection::refuse(int status, std::string_view message) {
  form_ = reader_.form();
  refused_ = closing_ = true;
  ++request_;
  respond(plain_error(status, message));
  read();
}

void Connection::take(AnswerPart part) {
  if (state_ != State::kHandling || part.request != request_) return;
  switch (part.kind) {
    case AnswerPart::Kind::kWhole:
      if (!streaming_) respond(std::move(part.response));
      return;
    case AnswerPart::Kind::kBegin:
      if (!streaming_) begin(part.response);
      return;
    case AnswerPart::Kind::kData:
      if (streaming_) write_chunk(std::move(part.response.body));
      return;
    case AnswerPart::Kind::kEnd:
      if (!streaming_) return;
      if (!form_.http_1_0 && !form_.head) enqueue("0\r\n\r\n");
      return complete();
    case AnswerPart::Kind::kDropped:
      if (!streaming_) return respond(plain_error(500, "The request was not answered"));
      // A half answer must not look whole.
      return close();
  }
}

void Connection::respond(mcp::Response response) {
  if (response.status < 200 || response.status > 599) response = plain_error(500, "The answer has no valid status");
  enqueue(response_head(response.status, response.headers, response.body.size(), form_, closing_));
  if (!form_.head && may_have_body(response.status)) enqueue(std::move(response.body));
  complete();
}

void Connection::begin(const mcp::Response& head) {
  const int status = head.status;
  if (status < 200 || status > 599 || !may_have_body(status)) return respond({status, head.headers, {}});
  streaming_ = true;
  closing_ = closing_ || form_.http_1_0;
  enqueue(response_head(status, head.headers, std::nullopt, form_, closing_));
  flush();
}

void Connection::write_chunk(std::string bytes) {
  if (bytes.empty() || form_.head) return;
  // A client that does not read its stream costs itself only.
  if (queue_bytes_ > 0 && queue_bytes_ + bytes.size() > host_.options().max_body_bytes) return close();
  if (form_.http_1_0) {
    enqueue(std::move(bytes));
  } else {
    enqueue(chunk_head(bytes.size()));
    enqueue(std::move(bytes));
    enqueue("\r\n");
  }
  flush();
}

void Connection::complete() {
  state_ = State::kAnswering;
  mailbox_->complete(request_);
  flush();
}

void Connection::on_answered() {
  if (refused_) return linger();
  if (closing_) return close();
  state_ = State::kIdle;
  streaming_ = false;
  deadline_ = now() + host_.options().idle_timeout;
  if (host_.draining()) hang_up();
  if (state_ == State::kIdle) advance();
}

/// Ends a connection that has told its client to go on. A request may be on its way at this moment, and must not be
/// lost between the two of us. On a Unix socket the kernel draws the line: from here on the client's send fails, so it
/// knows that nothing of it ran, and what came before is read, answered, and the end of file after it closes. Over TCP
/// there is no such line; a client has to live with that (RFC 9112, 9.3.1).
void Connection::hang_up() {
  boost::system::error_code error;
  const auto address = socket_.local_endpoint(error);
  if (error || address.protocol().family() != AF_UNIX) return close();
  hung_up_ = true;
  socket_.shutdown(Socket::shutdown_receive, error);
  if (error) close();
}

void Connection::linger() {
  state_ = State::kLingering;
  deadline_ = now() + kLingerTime;
  // Over TLS the client has been told "connection: close"; its goodbye would need a half that is open.
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  read();
}

void Connection::enqueue(std::string bytes) {
  if (bytes.empty()) return;
  queue_bytes_ += bytes.size();
  queue_.push_back(std::move(bytes));
}

void Connection::flush() {
  if (write_pending_ || queue_.empty()) return;
  std::vector<boost::asio::const_buffer> buffers;
  std::size_t skip = front_written_;
  for (const auto& bytes : queue_) {
    if (buffers.size() == kBuffersPerWrite) break;
    buffers.emplace_back(bytes.data() + skip, bytes.size() - skip);
    skip = 0;
  }
  write_pending_ = true;
  if (state_ != State::kReading) deadline_ = now() + host_.options().idle_timeout;
  auto done = [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
    self->on_written(error, bytes);
  };
  if (tls_) {
    tls_->async_write_some(buffers, std::move(done));
  } else {
    socket_.async_write_some(buffers, std::move(done));
  }
}

void Connection::on_written(const boost::system::error_code& error, std::size_t bytes) {
  write_pending_ = false;
  if (state_ == State::kClosed) return;
  if (error) return close();
  queue_bytes_ -= bytes;
  for (front_written_ += bytes; !queue_.empty() && front_written_ >= queue_.front().size(); queue_.pop_front()) {
    front_written_ -= queue_.front().size();
  }
  if (!queue_.empty()) return flush();
  mailbox_->written();
  // Whoever was told of room may have written more, or ended all.
  if (!queue_.empty() || state_ == State::kClosed) return;
  if (state_ == State::kHandling) deadline_ = Time::max();
  if (state_ == State::kAnswering) on_answered();
}

}  // namespace ringside::http
