#pragma once
// One request of HTTP as a call of the runtime's, for the doors that speak it.

#include <memory>
#include <utility>

#include "http/server.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

/// The responder is told nothing of a client that goes away: in MCP a disconnection is not a cancellation (2025-11-25,
/// basic/transports, "Sending Messages to the Server"), so the call runs on and its answer is dropped.
class HttpCall final : public Call {
 public:
  HttpCall(mcp::Request request, std::shared_ptr<http::Responder> responder)
      : Call(Door::kHttp, std::move(request)), responder_(std::move(responder)) {}

  /// Gives a request to the runtime; it streams where its Accept header takes events.
  static void start(Runtime& runtime, mcp::Request request, std::shared_ptr<http::Responder> responder);

 private:
  void deliver(mcp::Response response) override { responder_->respond(std::move(response)); }
  void deliver_head(mcp::Response head) override { responder_->begin(head.status, std::move(head.headers)); }
  Written deliver_piece(std::string piece) override {
    return responder_->write(std::move(piece)) ? Written::kMore : Written::kSlow;
  }
  void deliver_end() override { responder_->end(); }

  const std::shared_ptr<http::Responder> responder_;
};

}  // namespace ringside::worker
