#include "client/cpp/ring_messages.h"

#include <string>
#include <utility>

#include "client/cpp/stream_buffer.h"
#include "rpc/convert.h"
#include "rpc/errors.h"

namespace ringside {

RingChannel::McpRequest& head_of(const Request& request) {
  thread_local RingChannel::McpRequest message;
  message.Clear();
  rpc::fill_head(request, message);
  return message;
}

Answer read_answer(std::string_view header, std::string_view body) {
  thread_local std::string copy;
  thread_local RingChannel::McpResponse message;
  copy.assign(header);
  if (!message.ParseFromString(copy)) return kRingLied;
  message.clear_body();
  Response response = rpc::to_response(std::move(message));
  response.body.assign(body);
  return response;
}

Answer inline_answer(Result<RingChannel::McpResponse> message, CallTrace* trace) {
  if (!message.ok()) {
    if (message.error().code == Code::kTooLarge) return rpc::detail_error(413, "Request body too large");
    return message.error();
  }
  if (trace != nullptr) trace->inline_bytes_in = message->body().size();
  return rpc::to_response(std::move(*message));
}

void start_trace(CallTrace* trace, DoorChoice door) {
  if (trace == nullptr) return;
  *trace = CallTrace{};
  trace->door = door;
}

Outcome streamed_inline(const StreamBuffer& buffer, const Status& status, Request request) {
  if (status.ok()) return {Response{}};
  if (status.error().code != Code::kTooLarge) return answered_inline(status.error(), std::move(request));
  if (buffer.begun()) return {kReadTooSlowly};
  return {rpc::detail_error(413, "Request body too large")};
}

Outcome answered_inline(Answer answer, Request request) {
  Outcome outcome{std::move(answer)};
  // Turned away: it never ran.
  if (!outcome.answer.ok() && outcome.answer.error().code == Code::kNotFound) return {kRingGone, std::move(request)};
  if (!outcome.answer.ok() && outcome.answer.error().code == Code::kUnavailable) outcome.lost = std::move(request);
  return outcome;
}

}  // namespace ringside
