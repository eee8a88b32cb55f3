// Answers: completions of ring calls, and the bodies of gRPC calls by handle.

#include "shm/run.h"
#include "shm/step.h"
#include "shm/untrusted.h"
#include "shm/worker_end.h"
#include "shm/worker_state.h"

namespace ringside::shm {
namespace {

constexpr Error kStale{Code::kInvalid, 0, "the caller has given up"};

}  // namespace

bool WorkerEnd::complete(std::uint32_t slot, std::uint64_t sequence, int status, std::string_view header,
                         std::string_view body, Otherwise otherwise) {
  State& state = *state_;
  RS_CHECK(slot < kSlots && state.slots[slot].taken == sequence && state.slots[slot].under_way.load(),
           "a call that is under way is completed, once");
  if (state.refused()) return true;
  const auto count = blocks_needed(header.size(), body.size());
  bool fits = count == 0U;
  std::optional<std::uint32_t> first;
  if (count && *count > 0) {
    const std::lock_guard lock(state.mutex);
    if (!state.take_releases().ok()) return true;
    first = state.take_run(*count, State::kNoSlot);
    fits = first.has_value();
  }
  if (!fits && otherwise == Otherwise::kNothing) return false;
  state.free_parts_in(slot);
  Completion entry{};
  entry.sequence = sequence;
  entry.slot = slot;
  entry.flags = fits ? kCompletionFinal : kCompletionFinal | kCompletionInline;
  entry.status = status;
  if (first) {
    write_run(state.pool + block_offset(*first), header, body);
    step(Step::kAnswerWritten);
    entry.header_bytes = static_cast<std::uint32_t>(header.size());
    entry.body_bytes = body.size();
    entry.first_block = *first;
    entry.block_count = *count;
  }
  std::uint32_t parked = 0;
  {
    const std::lock_guard lock(state.mutex);
    if (first) state.runs[*first].use = State::RunUse::kLent;
    // Before the client can see the answer and use the slot again.
    state.slots[slot].under_way.store(false, std::memory_order_release);
    const auto published = state.publish(entry);
    if (!published) return true;
    parked = *published;
  }
  if (parked != 0) state.wake_client(parked);
  return fits;
}

Result<std::string> WorkerEnd::read(const Handle& handle) {
  State& state = *state_;
  if (state.refused()) return state.refused_error();
  RS_TRY_STATUS(state.settle_releases());
  if (!state.names_us(handle)) return state.refuse("bad_handle");
  const std::atomic<std::uint64_t>& sequence = state.theirs->slots[handle.slot].sequence;
  // Acquire: pairs with the release store of the sequence in ClientEnd::State::write_slot; the slot's numbers are
  // whole.
  if (sequence.load(std::memory_order_acquire) != handle.sequence) return kStale;
  const CallCopy call = state.copy_call(handle.slot, handle.sequence);
  // Pairs with fence_release in ClientEnd::State::free_slot and abandon_slot: had we read numbers or bytes that came
  // after the slot was given up, we would see the sequence changed.
  fence_acquire();
  if (sequence.load(std::memory_order_relaxed) != handle.sequence) return kStale;
  if (call.flags != kSlotHandle || call.body_bytes != handle.length) return state.refuse("bad_handle");
  if (const auto fault = state.fault_of(call); !fault.empty()) return state.refuse(fault);
  std::string body = state.body_of(call);
  step(Step::kHandleRead);
  fence_acquire();
  if (sequence.load(std::memory_order_relaxed) != handle.sequence) return kStale;
  return body;
}

Result<Handle> WorkerEnd::lend(const Handle& request, std::string_view body) {
  State& state = *state_;
  if (state.refused()) return state.refused_error();
  if (!state.names_us(request)) return state.refuse("bad_handle");
  const auto count = blocks_needed(0, body.size());
  if (!count) return Error{Code::kFull, 0, "the answer can never fit into this ring"};
  Handle answer = request;
  answer.first_block = 0;
  answer.block_count = *count;
  answer.length = body.size();
  {
    const std::lock_guard lock(state.mutex);
    RS_TRY_STATUS(state.take_releases());
    State::SlotUse& use = state.slots[request.slot];
    // Acquire: pairs with the release store in ClientEnd::State::write_slot. Should the caller give up after this look,
    // its Release{slot, 0} is found by a later take_releases, which frees the run.
    if (state.theirs->slots[request.slot].sequence.load(std::memory_order_acquire) != request.sequence) return kStale;
    if (use.lent_sequence == request.sequence) return Error{Code::kInvalid, 0, "the call has been answered"};
    if (*count == 0) return answer;
    const auto first = state.take_run(*count, request.slot);
    if (!first) return Error{Code::kFull, 0, "the ring has no room for the answer now"};
    answer.first_block = use.lent_first = *first;
    use.lent_sequence = request.sequence;
  }
  write_run(state.pool + block_offset(answer.first_block), {}, body);
  step(Step::kAnswerWritten);
  {
    const std::lock_guard lock(state.mutex);
    State::Run& run = state.runs[answer.first_block];
    if (run.use != State::RunUse::kDropped) {
      run.use = State::RunUse::kLent;
      return answer;  // its bytes are ordered before the gRPC message that carries it, by the socket
    }
    state.free_run(answer.first_block);
  }
  // The client rang for this room when it gave the call up, and it was not free yet.
  if (sends_parts()) send_parts();
  return kStale;
}

}  // namespace ringside::shm
