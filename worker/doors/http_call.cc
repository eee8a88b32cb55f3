#include "worker/doors/http_call.h"

#include <string>

#include "base/text.h"
#include "mcp/sse.h"

namespace ringside::worker {

void HttpCall::start(Runtime& runtime, mcp::Request request, std::shared_ptr<http::Responder> responder) {
  request.stream = ascii_lower(request.headers.get("accept")).find(mcp::kEventStream) != std::string::npos;
  const auto call = std::make_shared<HttpCall>(std::move(request), std::move(responder));
  const std::weak_ptr<HttpCall> weak = call;
  // A stream that only listens is over with its client; so is what it costs.
  if (call->streams() && call->request().method == "GET") {
    call->responder_->on_gone([weak] {
      if (const auto gone = weak.lock()) gone->cancel();
    });
  }
  call->responder_->on_room([weak] {
    if (const auto slow = weak.lock()) slow->has_room();
  });
  runtime.serve(call);
}

}  // namespace ringside::worker
