// Claims: filling a run of blocks, publishing it, lending it, giving it up.

#include <utility>

#include "shm/client_end.h"
#include "shm/client_state.h"
#include "shm/run.h"
#include "shm/step.h"

namespace ringside::shm {

ClientEnd::Claim::Claim(Claim&& other) noexcept { *this = std::move(other); }

ClientEnd::Claim& ClientEnd::Claim::operator=(Claim&& other) noexcept {
  if (this == &other) return *this;
  drop();
  end_ = std::exchange(other.end_, nullptr);
  slot_ = other.slot_;
  sequence_ = other.sequence_;
  first_ = other.first_;
  count_ = other.count_;
  total_ = other.total_;
  header_ = std::exchange(other.header_, {});
  body_ = std::exchange(other.body_, {});
  return *this;
}

ClientEnd::Claim::~Claim() { drop(); }

void ClientEnd::Claim::drop() {
  if (end_ == nullptr) return;
  State& state = *std::exchange(end_, nullptr)->state_;
  State::Bell bell;
  {
    const std::lock_guard lock(state.mutex);
    State::SlotUse& slot = state.slots[slot_];
    state.free_blocks(slot);
    if (slot.use == State::Use::kLent && !slot.borrowed && !state.is_forgotten(slot)) {
      bell = state.abandon_slot(slot_);
    } else {
      state.free_slot(slot_);
    }
  }
  state.ring(bell);
}

Result<ClientEnd::Claim> ClientEnd::claim(std::size_t header_bytes, std::size_t body_bytes) {
  State& state = *state_;
  const auto count = blocks_needed(header_bytes, body_bytes);
  if (!count || *count > state.blocks.blocks())
    return Error{Code::kTooLarge, 0, "the body can never fit into this ring"};
  const std::lock_guard lock(state.mutex);
  return state.claim_run(this, *count, header_bytes, body_bytes);
}

Result<ClientEnd::Claim> ClientEnd::State::claim_run(ClientEnd* end, std::uint32_t count, std::size_t header_bytes,
                                                     std::size_t body_bytes) {
  RS_CHECK(worker != nullptr, "join() comes before claim()");
  if (!lie.empty()) return Error{Code::kPeerLied, 0, lie};
  if (free_slots.empty()) settle_held();
  if (free_slots.empty()) return Error{Code::kFull, 0, "every slot of the ring is in use"};
  std::optional<std::uint32_t> first = 0;
  if (count > 0) {
    first = blocks.take(count);
    if (!first) {
      RS_TRY_STATUS(take_releases());
      first = blocks.take(count);
    }
    if (!first) return Error{Code::kFull, 0, "the ring has no room for the body now"};
  }

  Claim claim;
  claim.end_ = end;
  claim.slot_ = free_slots.back();
  claim.sequence_ = next_sequence++;
  claim.first_ = *first;
  claim.count_ = count;
  claim.total_ = body_bytes;
  auto* const run = reinterpret_cast<char*>(pool + block_offset(*first));
  claim.header_ = {run, header_bytes};
  if (body_bytes > 0) claim.body_ = {run + body_offset(static_cast<std::uint32_t>(header_bytes)), body_bytes};
  free_slots.pop_back();
  slots[claim.slot_] = {.use = Use::kClaimed, .first = *first, .count = count, .sequence = claim.sequence_};
  step(Step::kClaimed);
  return claim;
}

void ClientEnd::publish(Claim&& claim, SteadyTime deadline) {
  State& state = *state_;
  RS_CHECK(claim.end_ == this, "a claim is published where it was made");
  step(Step::kFilled);
  State::Bell bell;
  {
    const std::lock_guard lock(state.mutex);
    State::SlotUse& slot = state.slots[claim.slot_];
    RS_CHECK(slot.use == State::Use::kClaimed, "a claim that was lent is not published too");
    slot.use = State::Use::kPublished;
    state.write_slot(claim, slot.in_parts() ? std::uint32_t{kSlotMore} : 0, deadline);
    if (!state.detached) bell = state.submit(claim.slot_);  // else join() does
  }
  claim.end_ = nullptr;
  state.ring(bell);
}

bool ClientEnd::was_taken(std::uint32_t slot, std::uint64_t sequence) const {
  RS_CHECK(slot < kSlots, "a slot that was claimed here");
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const State::SlotUse& use = state.slots[slot];
  if (use.sequence == sequence && use.retry) return true;
  // Acquire: pairs with the release store of `taken` in WorkerEnd::take.
  return state.theirs->taken[slot].load(std::memory_order_acquire) == sequence;
}

bool ClientEnd::is_taken(std::uint32_t slot, std::uint64_t sequence) const {
  RS_CHECK(slot < kSlots, "a slot that was claimed here");
  const std::lock_guard lock(state_->mutex);
  // Acquire: pairs with the release store of `taken` in WorkerEnd::take.
  return state_->theirs->taken[slot].load(std::memory_order_acquire) == sequence;
}

bool ClientEnd::owes_answers() const {
  const State& state = *state_;
  const std::lock_guard lock(state_->mutex);
  for (std::uint32_t index = 0; index < kSlots; ++index) {
    const State::SlotUse& slot = state.slots[index];
    if (slot.use != State::Use::kPublished) continue;
    // Acquire: as in is_taken().
    if (state.theirs->taken[index].load(std::memory_order_acquire) == slot.sequence) return true;
  }
  return false;
}

void ClientEnd::cancel(std::uint32_t slot, std::uint64_t sequence) {
  State& state = *state_;
  State::Bell bell;
  {
    const std::lock_guard lock(state.mutex);
    RS_CHECK(slot < kSlots, "a slot that was claimed here");
    State::SlotUse& use = state.slots[slot];
    if (use.use != State::Use::kPublished || use.sequence != sequence || use.cancel_sent) return;
    if (state.detached) {  // no worker knows of it
      state.free_blocks(use);
      return state.free_slot(slot);
    }
    use.cancel_sent = true;
    // The entry that published it may not have been read yet: what that said stays said. Ordered by submission_tail.
    const std::uint32_t said = (use.retry ? kSlotRetry : 0U) | (use.sent < use.total ? kSlotMore : 0U);
    state.ours->slots[slot].flags.store(kSlotCancel | said, std::memory_order_relaxed);
    bell = state.submit(slot);
    use.cancel_position = state.submission_tail;
  }
  state.ring(bell);
}

Handle ClientEnd::lend(Claim& claim) {
  State& state = *state_;
  RS_CHECK(claim.end_ == this, "a claim is lent where it was made");
  const std::lock_guard lock(state.mutex);
  State::SlotUse& slot = state.slots[claim.slot_];
  RS_CHECK(slot.use == State::Use::kClaimed, "a claim is lent once");
  slot.use = State::Use::kLent;
  slot.attachment = state.attachment;
  state.write_slot(claim, kSlotHandle, SteadyTime::max());
  return {.ring = state.worker->terms.ring,
          .generation = state.worker->terms.generation,
          .slot = claim.slot_,
          .sequence = claim.sequence_,
          .length = claim.body_.size()};
}

void ClientEnd::abandon(Claim&& claim) {
  RS_CHECK(claim.end_ == this, "a claim is abandoned where it was made");
  claim.drop();
}

}  // namespace ringside::shm
