// Room in the ring for a call: at once, when it is its turn, or in time.

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "client/cpp/ring_messages.h"
#include "client/cpp/ring_transport.h"
#include "shm/layout.h"
#include "shm/run.h"

namespace ringside {

/// A claim filled with the request, as far as it fits, or why there is none.
Result<shm::ClientEnd::Claim> RingTransport::claim(const Request& request) {
  // What the worker would refuse is refused over the channel, with an answer.
  if (request.body.size() > max_body_bytes_) return Error{Code::kTooLarge, 0, "over the worker's limit"};
  const RingChannel::McpRequest& head = head_of(request);
  const std::size_t header_bytes = head.ByteSizeLong();
  auto claim = end_->claim(header_bytes, request.body.size());
  const bool large = request.body.size() > std::size_t{shm::kLeastPartBlocks} * shm::kBlockBytes;
  if (!claim.ok() && claim.error().code != Code::kPeerLied && large) {
    claim = end_->claim_in_parts(header_bytes, request.body.size());
  }
  if (!claim.ok()) {
    if (claim.error().code != Code::kPeerLied) return claim;
    if (usable()) log::warn("the worker broke the ring's protocol reason={}", claim.error().message);
    calls_->end(kRingLied);
    return claim;
  }
  RS_CHECK(head.SerializeToArray(claim->header().data(), static_cast<int>(header_bytes)), "a header fits its own size");
  std::copy_n(request.body.data(), claim->body().size(), claim->body().data());
  return claim;
}

/// The same when it is its turn; kFull: it waits for it.
Result<shm::ClientEnd::Claim> RingTransport::claim_in_turn(const Request& request, RingCalls::Turn& turn) {
  if (options_.when_full == WhenFull::kWait && !calls_->may_look(turn)) {
    return Error{Code::kFull, 0, "others were there before"};
  }
  auto claim = this->claim(request);
  if (!must_wait(claim)) calls_->leave(turn);
  return claim;
}

/// The same; where a full ring is waited for, kFull only at the request's deadline.
Result<shm::ClientEnd::Claim> RingTransport::claim_in_time(const Request& request) {
  RingCalls::Turn turn;
  while (true) {
    auto claim = claim_in_turn(request, turn);
    if (!must_wait(claim)) return claim;
    if (calls_->wait_for_room(turn, request.deadline) && usable()) continue;
    calls_->leave(turn);
    return claim;
  }
}

}  // namespace ringside
