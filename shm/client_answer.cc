// Answers: taking completions, checking what they say, lending out their bytes.

#include <utility>

#include "shm/client_end.h"
#include "shm/client_state.h"
#include "shm/run.h"
#include "shm/step.h"
#include "shm/untrusted.h"

namespace ringside::shm {
namespace {

struct CompletionCopy {
  std::uint64_t sequence;
  std::uint32_t slot;
  std::uint32_t flags;
  std::int32_t status;
  std::uint32_t header_bytes;
  std::uint64_t body_bytes;
  std::uint32_t first;
  std::uint32_t count;
};

CompletionCopy copy_completion(const Completion& shared) {
  return {read_once(shared.sequence),    read_once(shared.slot),         read_once(shared.flags),
          read_once(shared.status),      read_once(shared.header_bytes), read_once(shared.body_bytes),
          read_once(shared.first_block), read_once(shared.block_count)};
}

bool run_holds(std::uint64_t header_bytes, std::uint64_t body_bytes, std::uint32_t first, std::uint32_t count,
               std::uint32_t blocks) {
  const auto needed = blocks_needed(header_bytes, body_bytes);
  return needed && *needed == count && run_within(first, count, blocks);
}

}  // namespace

Loan::Loan(Loan&& other) noexcept { *this = std::move(other); }

Loan& Loan::operator=(Loan&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  owner_ = std::move(other.owner_);
  first_ = std::exchange(other.first_, 0);
  count_ = std::exchange(other.count_, 0);
  header_ = std::exchange(other.header_, {});
  body_ = std::exchange(other.body_, {});
  return *this;
}

Loan::~Loan() { give_back(); }

void Loan::give_back() {
  if (owner_) owner_->give_back(first_, count_);
  owner_.reset();
}

Loan ClientEnd::State::loan(Release run, std::uint32_t header_bytes, std::uint64_t body_bytes) {
  Loan loan;
  if (run.count == 0) return loan;
  const auto* const bytes = reinterpret_cast<const char*>(worker->pool + block_offset(run.first));
  loan.owner_ = worker;
  loan.first_ = run.first;
  loan.count_ = run.count;
  loan.header_ = {bytes, header_bytes};
  if (body_bytes > 0) loan.body_ = {bytes + body_offset(header_bytes), body_bytes};
  return loan;
}

Result<std::optional<ClientEnd::Taken>> ClientEnd::poll() {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  RS_CHECK(state.theirs != nullptr, "join() comes before poll()");
  if (!state.lie.empty()) return Error{Code::kPeerLied, 0, state.lie};
  if (state.detached) return std::optional<Taken>();
  if (state.completion_head == state.completion_tail_seen) {
    // Acquire: pairs with the release of completion_tail in WorkerEnd::complete; the entry and its run are whole.
    state.completion_tail_seen = state.theirs->completion_tail.value.load(std::memory_order_acquire);
    if (state.completion_head == state.completion_tail_seen) return std::optional<Taken>();
    if (state.completion_tail_seen - state.completion_head > kCompletions) return state.lied("completion_overrun");
  }
  const CompletionCopy entry = copy_completion(state.theirs->completions[state.completion_head % kCompletions]);
  step(Step::kCompletionRead);
  if (entry.slot >= kSlots) return state.lied("bad_slot");
  State::SlotUse& use = state.slots[entry.slot];
  if (use.use != State::Use::kPublished || use.sequence != entry.sequence) return state.lied("bad_sequence");
  const bool knows_parts = (state.worker->terms.features & kFeatureParts) != 0;
  const bool inline_answer = entry.flags == (kCompletionFinal | kCompletionInline);
  const bool more = entry.flags == kCompletionMore && knows_parts;
  const bool send_more = entry.flags == kCompletionSend && knows_parts;
  if (entry.flags != kCompletionFinal && !inline_answer && !more && !send_more) return state.lied("bad_flags");
  if (!run_holds(entry.header_bytes, entry.body_bytes, entry.first, entry.count, state.worker->blocks) ||
      ((inline_answer || send_more) && entry.count != 0)) {
    return state.lied("bad_run");
  }
  if (send_more && (use.part_due || use.sent >= use.total)) return state.lied("bad_sequence");

  if (send_more) {
    use.part_due = true;
  } else if (!more) {
    state.end_call(entry.slot);
  }
  step(Step::kSlotFreed);
  ++state.completion_head;
  // Release: pairs with the acquire of completion_head in WorkerEnd::complete; the entry has been read.
  state.ours->completion_head.value.store(state.completion_head, std::memory_order_release);
  step(Step::kCompletionHeadAdvanced);
  if (more) step(Step::kPieceTaken);

  std::optional<Taken> taken(std::in_place);
  taken->slot = entry.slot;
  taken->sequence = entry.sequence;
  taken->status = entry.status;
  taken->inline_answer = inline_answer;
  taken->more = more;
  taken->send_more = send_more;
  taken->answer = state.loan({entry.first, entry.count}, entry.header_bytes, entry.body_bytes);
  return taken;
}

/// The call in the slot has its last completion.
void ClientEnd::State::end_call(std::uint32_t index) {
  SlotUse& use = slots[index];
  free_blocks(use);
  if (use.cancel_sent && !worker_has_passed(use.cancel_position)) {
    hold_slot(index, Use::kCancelled);
  } else {
    free_slot(index);
  }
}

Result<Loan> ClientEnd::borrow(const Handle& handle, const Claim& claim) {
  State& state = *state_;
  RS_CHECK(claim.end_ == this, "a claim is answered where it was made");
  const std::lock_guard lock(state.mutex);
  if (!state.lie.empty()) return Error{Code::kPeerLied, 0, state.lie};
  State::SlotUse& use = state.slots[claim.slot_];
  RS_CHECK(use.use == State::Use::kLent && !use.borrowed, "a lent claim is answered once");
  // The worker that answered is gone, and another has its place: that one is no liar.
  if (use.attachment != state.attachment) return Error{Code::kUnavailable, 0, "the answer went with its worker"};
  if (handle.ring != state.worker->terms.ring || handle.generation != state.worker->terms.generation ||
      handle.slot != claim.slot_ || handle.sequence != claim.sequence_ ||
      !run_holds(0, handle.length, handle.first_block, handle.block_count, state.worker->blocks)) {
    return state.lied("bad_handle");
  }
  use.borrowed = true;
  return state.loan({handle.first_block, handle.block_count}, 0, handle.length);
}

}  // namespace ringside::shm
