// Bodies that are larger than a free run, on their way to the worker: one run for all of their parts, one part at a
// time.

#include <algorithm>

#include "shm/client_end.h"
#include "shm/client_state.h"
#include "shm/run.h"
#include "shm/step.h"

namespace ringside::shm {

Result<ClientEnd::Claim> ClientEnd::claim_in_parts(std::size_t header_bytes, std::uint64_t total_bytes) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  RS_CHECK(state.worker != nullptr, "join() comes before claim()");
  if ((state.worker->terms.features & kFeatureParts) == 0) {
    return Error{Code::kTooLarge, 0, "the worker takes no bodies in parts"};
  }
  const auto header_blocks = blocks_needed(header_bytes, 0);
  if (!header_blocks) return Error{Code::kTooLarge, 0, "the header can never fit into this ring"};
  Error full{Code::kFull, 0, "the ring has no room for a part of the body now"};
  for (std::uint32_t count = kPartBlocks; count >= kLeastPartBlocks; count /= 2) {
    const std::size_t room =
        std::size_t{count + *header_blocks} * kBlockBytes - body_offset(static_cast<std::uint32_t>(header_bytes));
    if (room >= total_bytes) continue;  // it would be whole: claim() is for that
    auto claim = state.claim_run(this, count + *header_blocks, header_bytes, room);
    if (!claim.ok() && claim.error().code != Code::kFull) return claim;
    if (!claim.ok()) continue;
    claim->total_ = total_bytes;
    State::SlotUse& slot = state.slots[claim->slot_];
    slot.total = total_bytes;
    slot.sent = room;
    step(Step::kPartClaimed);
    return claim;
  }
  return full;
}

std::span<char> ClientEnd::next_part(std::uint32_t slot, std::uint64_t sequence) {
  State& state = *state_;
  RS_CHECK(slot < kSlots, "a slot that was claimed here");
  const std::lock_guard lock(state.mutex);
  const State::SlotUse& use = state.slots[slot];
  const bool wanted = use.use == State::Use::kPublished && use.sequence == sequence && use.part_due &&
                      !use.cancel_sent && !state.detached;
  if (!wanted) return {};
  const std::size_t bytes = std::min<std::uint64_t>(use.total - use.sent, std::size_t{use.count} * kBlockBytes);
  return {reinterpret_cast<char*>(state.pool + block_offset(use.first)), bytes};
}

void ClientEnd::publish_part(std::uint32_t slot, std::uint64_t sequence) {
  State& state = *state_;
  step(Step::kPartFilled);
  State::Bell bell;
  {
    const std::lock_guard lock(state.mutex);
    State::SlotUse& use = state.slots[slot];
    if (use.use != State::Use::kPublished || use.sequence != sequence || !use.part_due || use.cancel_sent ||
        state.detached) {
      return;
    }
    use.part_due = false;
    const std::size_t bytes = std::min<std::uint64_t>(use.total - use.sent, std::size_t{use.count} * kBlockBytes);
    use.sent += bytes;
    Slot& shared = state.ours->slots[slot];
    // The worker asked for it, so it has read what the slot said before. All of it is ordered by submission_tail.
    shared.flags.store(use.sent < use.total ? std::uint32_t{kSlotMore} : 0, std::memory_order_relaxed);
    shared.header_bytes = 0;
    shared.body_bytes = bytes;
    step(Step::kPartDescribed);
    bell = state.submit(slot);
  }
  state.ring(bell);
}

}  // namespace ringside::shm
