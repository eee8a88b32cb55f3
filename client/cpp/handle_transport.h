#pragma once
// The handle door: a gRPC call over the attachment's channel whose bodies, both ways, lie in the ring's segments. What
// finds no room goes inline in the same call. Private to the library.

#include <atomic>
#include <memory>
#include <optional>

#include "client/cpp/ring_attachment.h"
#include "client/cpp/ring_channel.h"
#include "client/cpp/ring_keeper.h"
#include "client/cpp/transport.h"

namespace ringside {

class HandleTransport final : public Transport {
 public:
  static Result<std::shared_ptr<Transport>> create(RingAttachment attachment);
  ~HandleTransport() override;

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override;
  Outcome call(Request request, CallTrace* trace, shm::Loan* loan) override;
  std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace, std::shared_ptr<StreamBuffer> buffer) override;
  [[nodiscard]] bool usable() const override;
  [[nodiscard]] DoorChoice door() const override { return DoorChoice::kHandle; }

 private:
  using Claim = shm::ClientEnd::Claim;

  explicit HandleTransport(RingAttachment attachment);
  /// Puts the request's body into the ring and its handle into `message`, or the body itself where there is no room.
  std::optional<Claim> fill(Request& request, RingChannel::McpRequest& message, CallTrace* trace);
  Answer take_answer(Result<RingChannel::McpResponse> message, std::optional<Claim> claim, CallTrace* trace,
                     shm::Loan* loan);
  Outcome outcome_of(Result<RingChannel::McpResponse> message, std::optional<Claim> claim, Request request,
                     CallTrace* trace, shm::Loan* loan);

  void start(CallTrace* trace) const;

  // In the order in which they depend on one another.
  RingAttachment attachment_;
  std::atomic<bool> gone_{false};
  RingChannel channel_;
  std::unique_ptr<RingKeeper> keeper_;
};

}  // namespace ringside
