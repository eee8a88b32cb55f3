#include "client/cpp/ring_transport.h"

#include <cstring>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "client/cpp/handle_transport.h"
#include "client/cpp/ring_messages.h"

namespace ringside {

/// A call under way; it may be kept longer than the transport.
class RingTransport::AsyncCall final : public PendingCall {
 public:
  AsyncCall(std::weak_ptr<RingCalls> calls, const shm::ClientEnd::Claim& claim, Request message, CallTrace* call_trace,
            Done callback)
      : trace(call_trace),
        done(std::move(callback)),
        deadline(message.deadline),
        slot(claim.slot()),
        sequence(claim.sequence()),
        request(std::move(message)),
        calls_(std::move(calls)) {}

  void cancel() override {
    std::shared_ptr<PendingCall> fetch;
    {
      const std::lock_guard lock(mutex_);
      cancelled_ = true;
      fetch = fetch_;
    }
    if (fetch) return fetch->cancel();
    if (const auto calls = calls_.lock()) calls->cancel(slot, sequence);
  }

  /// The answer is on its way over the channel.
  void fetching(const std::shared_ptr<PendingCall>& fetch) {
    bool cancelled = false;
    {
      const std::lock_guard lock(mutex_);
      fetch_ = fetch;
      cancelled = cancelled_;
    }
    if (cancelled) fetch->cancel();
  }

  CallTrace* const trace;
  const Done done;
  const SteadyTime deadline;
  const std::uint32_t slot;
  const std::uint64_t sequence;
  Request request;  ///< for the case that the worker dies

 private:
  const std::weak_ptr<RingCalls> calls_;
  std::mutex mutex_;
  bool cancelled_ = false;
  std::shared_ptr<PendingCall> fetch_;
};

RingTransport::RingTransport(RingAttachment attachment, const ClientOptions& options)
    : attachment_(std::move(attachment)),
      channel_(std::move(attachment_.channel), attachment_.max_body_bytes),
      calls_(std::make_shared<RingCalls>(*attachment_.end, options.spin)) {}

RingTransport::~RingTransport() {
  watch_.reset();
  calls_->close();
}

Result<std::shared_ptr<Transport>> RingTransport::create(RingAttachment attachment, const ClientOptions& options) {
  std::shared_ptr<RingTransport> transport(new RingTransport(std::move(attachment), options));
  transport->watch_ = RS_TRY(RingWatch::start(transport->attachment_.socket.get(),
                                              [calls = transport->calls_.get()] { calls->gone(kRingGone); }));
  return std::shared_ptr<Transport>(std::move(transport));
}

/// A claim filled with the request, or why there is none.
Result<shm::ClientEnd::Claim> RingTransport::claim(const Request& request) {
  // What the worker would refuse is refused over the channel, with an answer.
  if (request.body.size() > attachment_.max_body_bytes) return Error{Code::kTooLarge, 0, "over the worker's limit"};
  const RingChannel::McpRequest& head = head_of(request);
  const std::size_t header_bytes = head.ByteSizeLong();
  auto claim = attachment_.end->claim(header_bytes, request.body.size());
  if (!claim.ok()) {
    if (claim.error().code == Code::kPeerLied) calls_->end(kRingLied);
    return claim;
  }
  RS_CHECK(head.SerializeToArray(claim->header().data(), static_cast<int>(header_bytes)), "a header fits its own size");
  if (!request.body.empty()) std::memcpy(claim->body().data(), request.body.data(), request.body.size());
  return claim;
}

Outcome RingTransport::call(Request request, CallTrace* trace) {
  start_trace(trace, DoorChoice::kRing, attachment_);
  if (!usable()) return {kRingGone, std::move(request)};
  auto claim = this->claim(request);
  if (!claim.ok()) {
    if (claim.error().code == Code::kPeerLied) return {kRingLied, std::nullopt};
    return call_inline(std::move(request), trace);
  }
  const std::uint32_t slot = claim->slot();
  const std::uint64_t sequence = claim->sequence();
  bool published = false;
  auto taken = calls_->call(std::move(*claim), request.deadline, published);
  if (trace != nullptr && published) trace->ring_bytes_out = request.body.size();
  if (!taken.ok()) return without_answer(taken.error(), std::move(request), slot, sequence);
  if (!taken->inline_answer) return {take_answer(*taken, trace), std::nullopt};
  return answered_inline(take_fetched(channel_.fetch(ticket_of(*taken), request.deadline), trace), std::move(request));
}

std::shared_ptr<PendingCall> RingTransport::call_async(Request request, CallTrace* trace, Done done) {
  start_trace(trace, DoorChoice::kRing, attachment_);
  if (!usable()) {
    done({kRingGone, std::move(request)});
    return nullptr;
  }
  auto claim = this->claim(request);
  if (!claim.ok()) {
    if (claim.error().code != Code::kPeerLied) return call_inline_async(std::move(request), trace, std::move(done));
    done({kRingLied, std::nullopt});
    return nullptr;
  }
  if (trace != nullptr) trace->ring_bytes_out = request.body.size();
  auto call = std::make_shared<AsyncCall>(calls_, *claim, std::move(request), trace, std::move(done));
  const bool started = calls_->start(std::move(*claim), call->deadline,
                                     [this, call](Result<RingCalls::Taken> taken) { finish(call, std::move(taken)); });
  if (started) return call;
  start_trace(trace, DoorChoice::kRing, attachment_);
  call->done({kRingGone, std::move(call->request)});
  return nullptr;
}

/// How a published call ended without an answer. The worker's journal says whether it ever took the call.
Outcome RingTransport::without_answer(const Error& error, Request request, std::uint32_t slot,
                                      std::uint64_t sequence) const {
  if (error.code != Code::kUnavailable) return {error};
  if (!attachment_.end->was_taken(slot, sequence)) return {error, std::move(request)};
  return {error, std::nullopt, std::move(request)};
}

void RingTransport::finish(const std::shared_ptr<AsyncCall>& call, Result<RingCalls::Taken> taken) {
  if (!taken.ok()) {
    return call->done(without_answer(taken.error(), std::move(call->request), call->slot, call->sequence));
  }
  if (!taken->inline_answer) return call->done({take_answer(*taken, call->trace), std::nullopt});
  call->fetching(
      channel_.fetch_async(ticket_of(*taken), call->deadline, [this, call](Result<RingChannel::Fetched> fetched) {
        call->done(answered_inline(take_fetched(std::move(fetched), call->trace), std::move(call->request)));
      }));
}

Outcome RingTransport::call_inline(Request request, CallTrace* trace) {
  if (trace != nullptr) trace->inline_bytes_out = request.body.size();
  RingChannel::McpRequest& message = head_of(request);
  *message.mutable_body() = std::move(request.body);
  auto answered = channel_.invoke(message, request.deadline);
  request.body = std::move(*message.mutable_body());
  return answered_inline(inline_answer(std::move(answered), trace), std::move(request));
}

std::shared_ptr<PendingCall> RingTransport::call_inline_async(Request request, CallTrace* trace, Done done) {
  if (trace != nullptr) trace->inline_bytes_out = request.body.size();
  RingChannel::McpRequest message = std::move(head_of(request));
  message.set_body(request.body);
  const SteadyTime deadline = request.deadline;
  const auto kept = std::make_shared<Request>(std::move(request));
  return channel_.invoke_async(std::move(message), deadline,
                               [trace, kept, done = std::move(done)](Result<RingChannel::McpResponse> response) {
                                 done(answered_inline(inline_answer(std::move(response), trace), std::move(*kept)));
                               });
}

Answer RingTransport::take_answer(const RingCalls::Taken& taken, CallTrace* trace) {
  Answer answer = read_answer(taken.answer.header(), taken.answer.body());
  if (!answer.ok()) calls_->end(kRingLied);
  if (answer.ok() && trace != nullptr) trace->ring_bytes_in = answer->body.size();
  return answer;
}

Answer RingTransport::take_fetched(Result<RingChannel::Fetched> fetched, CallTrace* trace) {
  if (!fetched.ok()) {
    const Code code = fetched.error().code;
    if (code == Code::kTimeout || code == Code::kCancelled) return fetched.error();
    return Error{Code::kUnavailable, 0, "the answer was too large for the ring and is lost"};
  }
  if (trace != nullptr) trace->inline_bytes_in = fetched->body.size();
  Answer answer = read_answer(fetched->header, {});
  if (answer.ok()) answer->body = std::move(fetched->body);
  return answer;
}

RingChannel::Ticket RingTransport::ticket_of(const RingCalls::Taken& taken) const {
  return {attachment_.ring, taken.slot, taken.sequence};
}

Result<std::shared_ptr<Transport>> connect_ring(const ClientOptions& options, bool handles) {
  RingAttachment attachment = RS_TRY(attach_ring(options, handles));
  if (handles) return HandleTransport::create(std::move(attachment));
  return RingTransport::create(std::move(attachment), options);
}

}  // namespace ringside
