#pragma once
// Where answers wait that come from other threads, on their way to the connection they belong to. A Responder lives as
// long as its handler wants, also beyond the connection and the server: all it holds is the mailbox, which is closed by
// then. Private to the server.

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "http/server.h"
#include "mcp/message.h"

namespace ringside::http {

class Connection;

/// One step of an answer.
struct AnswerPart {
  enum class Kind { kWhole, kBegin, kData, kEnd, kDropped };
  Kind kind = Kind::kWhole;
  std::uint64_t request = 0;  ///< which of the connection's requests it answers
  mcp::Response response;     ///< kWhole: all of it; kBegin: status and headers; kData: the body
};

class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  Mailbox(boost::asio::io_context& io, Connection& connection) : io_(&io), connection_(&connection) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Brings `part` to the connection: before this returns on the loop's thread, soon from any other. Parts keep their
  /// order. False: much of the answer has not been written to the client yet.
  bool push(AnswerPart part);
  /// The connection has written all that it was given. Loop's thread.
  void written();
  /// See Responder::on_gone.
  void on_gone(std::uint64_t request, std::function<void()> callback);
  /// See Responder::on_room.
  void on_room(std::uint64_t request, std::function<void()> callback);

  /// The answer to `request` is complete: nobody can be gone before it any more. Loop's thread.
  void complete(std::uint64_t request);
  /// The connection is over. Loop's thread; the last thing that it does with the mailbox.
  void close();

  /// What the handler gets for one request.
  [[nodiscard]] std::shared_ptr<Responder> responder(std::uint64_t request);

 private:
  void deliver();

  boost::asio::io_context* io_;
  std::mutex mutex_;
  Connection* connection_;  // null: closed
  std::vector<AnswerPart> parts_;
  bool delivery_posted_ = false;
  std::uint64_t completed_ = 0;  // the last request whose answer is complete; they are numbered from 1
  std::function<void()> gone_;
  std::size_t unwritten_ = 0;  // bytes of kData that the connection has not said to be written
  bool owes_room_ = false;     // a push said that there is none
  std::function<void()> room_;
};

}  // namespace ringside::http
