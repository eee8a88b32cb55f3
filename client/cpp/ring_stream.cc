// Answers that come piece by piece through a ring.

#include <utility>

#include "client/cpp/ring_async_call.h"
#include "client/cpp/ring_messages.h"
#include "client/cpp/ring_transport.h"
#include "shm/layout.h"

namespace ringside {

std::shared_ptr<PendingCall> RingTransport::stream(Request request, CallTrace* trace,
                                                   std::shared_ptr<StreamBuffer> buffer) {
  start_trace(trace, DoorChoice::kRing);
  if (!usable()) {
    buffer->finish({kRingGone, std::move(request)});
    return nullptr;
  }
  auto call = std::make_shared<AsyncCall>(calls_, std::move(request), trace,
                                          [buffer](Outcome outcome) { buffer->finish(std::move(outcome)); });
  call->stream = std::move(buffer);
  if (send(call)) return call;
  call->done({kRingGone, std::move(call->request)});
  return nullptr;
}

/// On the thread that leads. A header comes with the first piece; the end of a stream says whether it was cut off.
bool RingTransport::take_piece(AsyncCall& call, shm::ClientEnd::Taken& piece) {
  const bool first = !call.stream->begun();
  if (first) {
    auto head = read_answer(piece.answer.header(), {});
    if (!head.ok()) return false;
    call.stream->begin(std::move(*head));
  } else if (!piece.answer.header().empty()) {
    return false;
  }
  call.cut = !first && !piece.more && piece.status == shm::kCutStatus;
  if (call.trace != nullptr) call.trace->ring_bytes_in += piece.answer.body().size();
  call.stream->push(std::move(piece.answer));
  return true;
}

void RingTransport::stream_inline(const std::shared_ptr<AsyncCall>& call, const std::shared_ptr<Line>& line) {
  RingChannel::McpRequest message = std::move(head_of(call->request));
  message.set_body(call->request.body);
  call->goes_by_channel(line->channel.stream(
      std::move(message), call->request.deadline, call->stream,
      [call](const Status& status) { call->done(streamed_inline(*call->stream, status, std::move(call->request))); }));
}

}  // namespace ringside
