#include "shm/worker_end.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

#include "shm/run.h"
#include "shm/segment_header.h"
#include "shm/step.h"
#include "shm/untrusted.h"
#include "shm/worker_state.h"

namespace ringside::shm {

WorkerEnd::WorkerEnd(std::unique_ptr<State> state) : state_(std::move(state)) {}
WorkerEnd::~WorkerEnd() = default;

Result<std::unique_ptr<WorkerEnd>> WorkerEnd::attach(UniqueFd request_segment, WorkerEndOptions options,
                                                     std::string_view& reason) {
  Segment request = RS_TRY(Segment::adopt(std::move(request_segment), reason));
  step(Step::kSegmentAdopted);
  reason = fault_of_header(request, Side::kClient, 0);
  if (!reason.empty()) return Error{Code::kPeerLied, 0, "the client's segment does not begin with the header agreed"};
  Segment response =
      RS_TRY(options.reserve != nullptr ? options.reserve->take() : Segment::create(options.segment_bytes));
  // Rung once already: see ClientEnd::WorkerSide::ring.
  UniqueFd doorbell(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!doorbell) return Error{Code::kSystem, errno, "no doorbell for a ring"};
  step(Step::kResponseMade);
  return std::unique_ptr<WorkerEnd>(new WorkerEnd(
      std::make_unique<State>(std::move(request), std::move(response), std::move(doorbell), std::move(options))));
}

int WorkerEnd::response_fd() const { return state_->response.fd(); }
int WorkerEnd::doorbell_fd() const { return state_->doorbell.get(); }
std::uint64_t WorkerEnd::bytes() const { return state_->request.size() + state_->response.size(); }
std::uint64_t WorkerEnd::wakes() const { return state_->wakes.load(std::memory_order_relaxed); }

std::string_view WorkerEnd::refusal() const {
  const char* const name = state_->refusal.load(std::memory_order_acquire);
  return name == nullptr ? std::string_view() : name;
}

Result<std::optional<WorkerEnd::Taken>> WorkerEnd::take() {
  State& state = *state_;
  while (true) {
    if (state.refused()) return state.refused_error();
    if (state.submission_head == state.submission_tail_seen) {
      // Acquire: pairs with the store of submission_tail in ClientEnd::State::submit; entry, slot and run are whole.
      const std::uint32_t tail = state.theirs->submission_tail.value.load(std::memory_order_acquire);
      if (tail - state.submission_head > kSubmissions) return state.refuse("submission_overrun");
      state.submission_tail_seen = tail;
      if (tail == state.submission_head) {
        RS_TRY_STATUS(state.settle_releases());
        if (sends_parts()) send_parts();
        return std::optional<Taken>();
      }
    }
    const std::uint32_t slot = read_once(state.theirs->submissions[state.submission_head % kSubmissions]);
    step(Step::kEntryRead);
    if (slot >= kSlots) return state.refuse("bad_slot");
    auto taken = RS_TRY(take_slot(slot));
    ++state.submission_head;
    // Release: pairs with the acquire of submission_head in ClientEnd::State::worker_has_passed: our reads come before.
    state.ours->submission_head.value.store(state.submission_head, std::memory_order_release);
    step(Step::kHeadAdvanced);
    if (taken) return taken;
    // A part is work enough for one turn: others wait for theirs. Else the entry cancelled a call that was answered.
    if (std::exchange(state.took_part, false)) return std::optional<Taken>();
  }
}

Result<std::optional<WorkerEnd::Taken>> WorkerEnd::take_slot(std::uint32_t slot) {
  State& state = *state_;
  State::SlotUse& use = state.slots[slot];
  const std::uint64_t sequence = state.theirs->slots[slot].sequence.load(std::memory_order_acquire);
  if (sequence == 0) return state.refuse("bad_sequence");
  const CallCopy call = state.copy_call(slot, sequence);
  const bool under_way = use.under_way.load(std::memory_order_acquire);

  std::optional<Taken> taken(std::in_place);
  taken->slot = slot;
  taken->sequence = sequence;
  if (sequence == use.taken) {
    if (use.cancelled || (call.flags & kSlotCancel) == 0) return state.refuse("published_twice");
    use.cancelled = true;
    if (!under_way) return std::optional<Taken>();
    state.give_up_leaving(slot);
    taken->cancel = true;
    return taken;
  }
  if (under_way) return state.refuse("slot_in_use");
  const auto agreed = [&](std::uint32_t feature, std::uint32_t flag) {
    return (state.options.features & feature) != 0 ? flag : 0U;
  };
  const std::uint32_t allowed = kSlotCancel | agreed(kFeatureAgain, kSlotRetry) | agreed(kFeatureParts, kSlotMore);
  if ((call.flags & ~allowed) != 0) return state.refuse("bad_flags");
  if (use.arriving || (call.flags & kSlotMore) != 0) return state.take_part(slot, call);
  if (const auto fault = state.fault_of(call); !fault.empty()) return state.refuse(fault);
  taken->retry = (call.flags & kSlotRetry) != 0;

  if (call.header_bytes > 0) taken->header = copy_out(state.their_pool + block_offset(call.first), call.header_bytes);
  taken->body = state.body_of(call);
  step(Step::kBodyCopied);
  if (call.deadline_ns != 0) taken->deadline = SteadyTime(std::chrono::nanoseconds(call.deadline_ns));
  state.begin(slot, sequence);
  return taken;
}

void WorkerEnd::State::begin(std::uint32_t slot, std::uint64_t sequence) {
  SlotUse& use = slots[slot];
  use.taken = sequence;
  use.cancelled = false;
  use.under_way.store(true, std::memory_order_release);
  // The journal, before anything is done for the call: a client that finds its sequence here does not know whether it
  // was served. Release: pairs with the client's acquire after our death.
  ours->taken[slot].store(sequence, std::memory_order_release);
  step(Step::kJournalStored);
}

bool WorkerEnd::has_work() const {
  return state_->theirs->submission_tail.value.load(std::memory_order_acquire) != state_->submission_head;
}

bool WorkerEnd::park() {
  State& state = *state_;
  state.park = (state.park + 1) | 1U;
  state.ours->park.value.store(state.park, std::memory_order_seq_cst);
  step(Step::kWorkerParked);
  // Sequentially consistent like the store above: the client stores submission_tail, then loads `park`
  // (ClientEnd::State::must_ring); we stored `park`, now load submission_tail. One of us sees the other.
  const bool empty = state.theirs->submission_tail.value.load(std::memory_order_seq_cst) == state.submission_head;
  // An answer in parts waits for release_tail in the same way: the client stores it, then loads `starved` and `park`
  // (ClientEnd::State::give_back).
  if (empty && sends_parts()) send_parts();
  if (empty && state.settle_releases().ok() && !state.refused()) return true;
  unpark();
  return false;
}

void WorkerEnd::unpark() {
  State& state = *state_;
  if (state.park % 2 == 0) return;
  state.ours->park.value.store(++state.park, std::memory_order_relaxed);
}

}  // namespace ringside::shm
