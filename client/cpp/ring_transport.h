#pragma once
// The ring door: a call is written into shared memory, and its answer read from there. What finds no room goes over the
// attachment's channel instead, a body at a time: a call that way is still a call through this door. Private to the
// library.

#include <memory>

#include "client/cpp/ring_attachment.h"
#include "client/cpp/ring_calls.h"
#include "client/cpp/ring_channel.h"
#include "client/cpp/transport.h"

namespace ringside {

class RingTransport final : public Transport {
 public:
  static Result<std::shared_ptr<Transport>> create(RingAttachment attachment, const ClientOptions& options);
  ~RingTransport() override;

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override;
  Outcome call(Request request, CallTrace* trace) override;
  [[nodiscard]] bool usable() const override { return !calls_->over() && !channel_.broken(); }
  [[nodiscard]] DoorChoice door() const override { return DoorChoice::kRing; }

 private:
  class AsyncCall;

  RingTransport(RingAttachment attachment, const ClientOptions& options);
  Result<shm::ClientEnd::Claim> claim(const Request& request);
  Outcome call_inline(Request request, CallTrace* trace);
  std::shared_ptr<PendingCall> call_inline_async(Request request, CallTrace* trace, Done done);
  [[nodiscard]] Outcome without_answer(const Error& error, Request request, std::uint32_t slot,
                                       std::uint64_t sequence) const;
  Answer take_answer(const RingCalls::Taken& taken, CallTrace* trace);
  Answer take_fetched(Result<RingChannel::Fetched> fetched, CallTrace* trace);
  [[nodiscard]] RingChannel::Ticket ticket_of(const RingCalls::Taken& taken) const;
  void finish(const std::shared_ptr<AsyncCall>& call, Result<RingCalls::Taken> taken);

  // In the order in which they depend on one another.
  RingAttachment attachment_;
  RingChannel channel_;
  std::shared_ptr<RingCalls> calls_;  // shared with PendingCalls, weakly
  std::unique_ptr<RingWatch> watch_;
};

}  // namespace ringside
