#include "client/cpp/handle_transport.h"

#include <cstring>
#include <utility>

#include "client/cpp/ring_messages.h"
#include "client/cpp/stream_buffer.h"
#include "rpc/convert.h"

namespace ringside {
HandleTransport::HandleTransport(RingAttachment attachment)
    : attachment_(std::move(attachment)), channel_(std::move(attachment_.channel), attachment_.max_body_bytes) {}

HandleTransport::~HandleTransport() = default;

Result<std::shared_ptr<Transport>> HandleTransport::create(RingAttachment attachment) {
  std::shared_ptr<HandleTransport> transport(new HandleTransport(std::move(attachment)));
  // The handles of a call under way name this ring: what is lost is sent again through another.
  transport->keeper_ = RS_TRY(RingKeeper::start(transport->attachment_.socket.get(), Duration::zero(),
                                                {.lost =
                                                     [here = transport.get()] {
                                                       here->gone_.store(true, std::memory_order_relaxed);
                                                       here->channel_.leave([here] { here->attachment_.hang_up(); });
                                                     },
                                                 .attach = {},
                                                 .over = [] {}}));
  return std::shared_ptr<Transport>(std::move(transport));
}

bool HandleTransport::usable() const { return !gone_.load(std::memory_order_relaxed) && !channel_.broken(); }

std::optional<HandleTransport::Claim> HandleTransport::fill(Request& request, RingChannel::McpRequest& message,
                                                            CallTrace* trace) {
  const std::size_t bytes = request.body.size();
  if (bytes != 0 && bytes <= attachment_.max_body_bytes) {
    if (auto claim = attachment_.end->claim(0, bytes); claim.ok()) {
      std::memcpy(claim->body().data(), request.body.data(), bytes);
      rpc::fill_handle(attachment_.end->lend(*claim), *message.mutable_body_handle());
      if (trace != nullptr) trace->ring_bytes_out = bytes;
      return std::move(*claim);
    }
  }
  *message.mutable_body() = std::move(request.body);
  if (trace != nullptr) trace->inline_bytes_out = bytes;
  return std::nullopt;
}

/// Dropping the claim, once the answer has been copied out, makes its handle stale.
Answer HandleTransport::take_answer(Result<RingChannel::McpResponse> message, std::optional<Claim> claim,
                                    CallTrace* trace, shm::Loan* out) {
  if (!message.ok() || !message->has_body_handle()) return inline_answer(std::move(message), trace);
  if (!claim) return kRingLied;
  auto loan = attachment_.end->borrow(rpc::to_handle<shm::Handle>(message->body_handle()), *claim);
  if (!loan.ok()) {
    gone_.store(true, std::memory_order_relaxed);
    return kRingLied;
  }
  Response response = rpc::to_response(std::move(*message));
  if (trace != nullptr) trace->ring_bytes_in = loan->body().size();
  if (out != nullptr) {
    *out = std::move(*loan);
  } else {
    response.body.assign(loan->body());
  }
  return response;
}

/// How a call over the channel ended. NOT_FOUND says that the worker has let the ring go, and nothing of the call ran.
Outcome HandleTransport::outcome_of(Result<RingChannel::McpResponse> message, std::optional<Claim> claim,
                                    Request request, CallTrace* trace, shm::Loan* loan) {
  if (!message.ok() && message.error().code == Code::kNotFound) {
    gone_.store(true, std::memory_order_relaxed);
    return {kRingGone, std::move(request)};
  }
  return answered_inline(take_answer(std::move(message), std::move(claim), trace, loan), std::move(request));
}

void HandleTransport::start(CallTrace* trace) const {
  start_trace(trace, DoorChoice::kHandle);
  if (trace == nullptr) return;
  trace->worker_pid = attachment_.worker_pid;
  trace->ring = attachment_.ring;
}

Outcome HandleTransport::call(Request request, CallTrace* trace, shm::Loan* loan) {
  start(trace);
  if (!usable()) return {kRingGone, std::move(request)};
  RingChannel::McpRequest& message = head_of(request);
  auto claim = fill(request, message, trace);
  auto answered = channel_.invoke(message, request.deadline);
  if (!claim) request.body = std::move(*message.mutable_body());
  return outcome_of(std::move(answered), std::move(claim), std::move(request), trace, loan);
}

std::shared_ptr<PendingCall> HandleTransport::call_async(Request request, CallTrace* trace, Done done) {
  start(trace);
  if (!usable()) {
    done({kRingGone, std::move(request)});
    return nullptr;
  }
  RingChannel::McpRequest message = std::move(head_of(request));
  // Shared, since a std::function is copyable and a claim is not.
  auto claim = std::make_shared<std::optional<Claim>>(fill(request, message, trace));
  if (!*claim) request.body = message.body();
  const SteadyTime deadline = request.deadline;
  const auto kept = std::make_shared<Request>(std::move(request));
  return channel_.invoke_async(
      std::move(message), deadline,
      [this, trace, claim, kept, done = std::move(done)](Result<RingChannel::McpResponse> response) {
        done(outcome_of(std::move(response), std::move(*claim), std::move(*kept), trace, nullptr));
      });
}

/// The request's body goes by handle, the pieces of the answer inside their messages: a handle is answered once.
std::shared_ptr<PendingCall> HandleTransport::stream(Request request, CallTrace* trace,
                                                     std::shared_ptr<StreamBuffer> buffer) {
  start(trace);
  if (!usable()) {
    buffer->finish({kRingGone, std::move(request)});
    return nullptr;
  }
  RingChannel::McpRequest message = std::move(head_of(request));
  auto claim = std::make_shared<std::optional<Claim>>(fill(request, message, trace));
  if (!*claim) request.body = message.body();
  const SteadyTime deadline = request.deadline;
  const auto kept = std::make_shared<Request>(std::move(request));
  return channel_.stream(std::move(message), deadline, buffer, [this, claim, kept, buffer](const Status& status) {
    claim->reset();
    if (!status.ok() && status.error().code == Code::kNotFound) {
      gone_.store(true, std::memory_order_relaxed);
      return buffer->finish({kRingGone, std::move(*kept)});
    }
    buffer->finish(streamed_inline(*buffer, status, std::move(*kept)));
  });
}

}  // namespace ringside
