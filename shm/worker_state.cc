#include "shm/worker_state.h"

#include <cstring>
#include <limits>
#include <utility>

#include "shm/futex.h"
#include "shm/run.h"
#include "shm/segment_header.h"
#include "shm/step.h"
#include "shm/untrusted.h"

namespace ringside::shm {

void write_run(std::byte* run, std::string_view header, std::string_view body) {
  if (!header.empty()) std::memcpy(run, header.data(), header.size());
  if (!body.empty())
    std::memcpy(run + body_offset(static_cast<std::uint32_t>(header.size())), body.data(), body.size());
}

WorkerEnd::State::State(Segment request_segment, Segment response_segment, UniqueFd bell, WorkerEndOptions with)
    : request(std::move(request_segment)),
      response(std::move(response_segment)),
      doorbell(std::move(bell)),
      options(std::move(with)),
      theirs(reinterpret_cast<const RequestSegment*>(request.data())),
      ours(reinterpret_cast<ResponseSegment*>(response.data())),
      their_pool(request.data() + pool_offset(Side::kClient)),
      pool(response.data() + pool_offset(Side::kWorker)),
      their_blocks(blocks_in(Side::kClient, request.size())),
      blocks(blocks_in(Side::kWorker, response.size())),
      runs(blocks.blocks()) {
  ours->header = make_header(Side::kWorker, response.size(), options.generation, options.features);
  // Our cursors start where the client's stand: it publishes nothing between its request to attach and our reply.
  submission_head = submission_tail_seen = theirs->submission_tail.value.load(std::memory_order_acquire);
  completion_tail = completion_head_seen = theirs->completion_head.value.load(std::memory_order_acquire);
  release_head.store(theirs->release_tail.value.load(std::memory_order_acquire), std::memory_order_relaxed);
  ours->submission_head.value.store(submission_head, std::memory_order_release);
  ours->completion_tail.value.store(completion_tail, std::memory_order_release);
}

WorkerEnd::State::~State() {
  if (options.budget == nullptr) return;
  options.budget->leave(this);
  options.budget->give(parts_in);
  options.budget->give_answer(leaving_bytes.load(std::memory_order_relaxed));
}

Error WorkerEnd::State::refuse(std::string_view name) {
  const char* none = nullptr;
  refusal.compare_exchange_strong(none, name.data(), std::memory_order_acq_rel);
  return refused_error();
}

CallCopy WorkerEnd::State::copy_call(std::uint32_t slot, std::uint64_t sequence) const {
  const Slot& shared = theirs->slots[slot];
  return {.sequence = sequence,
          .flags = shared.flags.load(std::memory_order_relaxed),
          .header_bytes = read_once(shared.header_bytes),
          .body_bytes = read_once(shared.body_bytes),
          .total_bytes = read_once(shared.total_bytes),
          .first = read_once(shared.first_block),
          .count = read_once(shared.block_count),
          .deadline_ns = read_once(shared.deadline_ns)};
}

std::string_view WorkerEnd::State::fault_of(const CallCopy& call) const {
  if (call.total_bytes != call.body_bytes) return "bad_length";
  return fault_of_part(call, nullptr);
}

std::string_view WorkerEnd::State::fault_of_part(const CallCopy& call, const Arriving* before) const {
  if (call.total_bytes > options.max_body_bytes) return "body_too_large";
  if (before != nullptr && (call.total_bytes != before->total || call.header_bytes != 0)) return "bad_length";
  if (call.body_bytes > call.total_bytes - (before == nullptr ? 0 : before->body.size())) return "bad_length";
  const auto needed = blocks_needed(call.header_bytes, call.body_bytes);
  if (!needed || *needed > call.count) return "bad_length";
  if (!run_within(call.first, call.count, their_blocks)) return "bad_run";
  if (call.deadline_ns > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return "bad_deadline";
  return {};
}

bool WorkerEnd::State::names_us(const Handle& handle) const {
  return handle.ring == options.ring && handle.generation == options.generation && handle.slot < kSlots &&
         handle.sequence != 0;
}

std::string WorkerEnd::State::body_of(const CallCopy& call) const {
  if (call.body_bytes == 0) return {};
  return copy_out(their_pool + block_offset(call.first) + body_offset(call.header_bytes), call.body_bytes,
                  kParserPadding);
}

Status WorkerEnd::State::settle_releases() {
  if (theirs->release_tail.value.load(std::memory_order_relaxed) == release_head.load(std::memory_order_relaxed))
    return {};
  const std::lock_guard lock(mutex);
  return take_releases();
}

Status WorkerEnd::State::take_releases() {
  std::uint32_t head = release_head.load(std::memory_order_relaxed);
  // Acquire: pairs with the release store of release_tail in ClientEnd::State::release: the client has done with these
  // runs. Sequentially consistent for park(), see there.
  const std::uint32_t tail = theirs->release_tail.value.load(std::memory_order_seq_cst);
  if (tail - head > kReleases) return refuse("release_overrun");
  for (; head != tail; ++head) {
    const Release& shared = theirs->releases[head % kReleases];
    const Release entry{read_once(shared.first), read_once(shared.count)};
    if (entry.count == 0) {
      RS_TRY_STATUS(give_up(entry.first));
      continue;
    }
    if (entry.first >= runs.size()) return refuse("bad_release");
    const Run run = runs[entry.first];
    if (run.use != RunUse::kLent || run.count != entry.count) return refuse("bad_release");
    if (run.slot != kNoSlot && slots[run.slot].lent_first == entry.first) slots[run.slot].lent_sequence = 0;
    free_run(entry.first);
  }
  release_head.store(head, std::memory_order_relaxed);
  return {};
}

Status WorkerEnd::State::give_up(std::uint32_t slot) {
  if (slot >= kSlots || slots[slot].under_way.load(std::memory_order_relaxed)) return refuse("bad_release");
  SlotUse& use = slots[slot];
  const std::uint64_t abandoned = read_once(theirs->slots[slot].abandoned);
  if (use.lent_sequence != 0 && use.lent_sequence == abandoned) {
    use.lent_sequence = 0;
    Run& run = runs[use.lent_first];
    if (run.use == RunUse::kFilling) {
      run.use = RunUse::kDropped;
    } else {
      free_run(use.lent_first);
    }
  }
  // Release: pairs with the acquire of `taken` in ClientEnd::State::settle_held: we never read this use of the slot
  // again.
  ours->taken[slot].store(abandoned, std::memory_order_release);
  step(Step::kAbandonAcknowledged);
  return {};
}

std::optional<std::uint32_t> WorkerEnd::State::take_run(std::uint32_t count, std::uint32_t slot) {
  const auto first = blocks.take(count);
  if (first) runs[*first] = {.count = count, .slot = slot, .use = RunUse::kFilling};
  return first;
}

void WorkerEnd::State::free_run(std::uint32_t first) {
  if (const Run& run = runs[first]; run.stream_slot != kNoSlot) {
    stream_blocks -= run.count;
    if (Leaving* const stream = stream_of(run.stream_slot, run.stream_sequence)) stream->lent -= run.count;
  }
  parts_out -= runs[first].has_credit ? 1 : 0;
  blocks.give(first, runs[first].count);
  runs[first] = Run{};
}

Result<std::uint32_t> WorkerEnd::State::publish(const Completion& entry) {
  if (completion_tail - completion_head_seen >= kCompletions) {
    // Acquire: pairs with the release store of completion_head in ClientEnd::poll: those entries have been read.
    const std::uint32_t head = theirs->completion_head.value.load(std::memory_order_acquire);
    if (completion_tail - head >= kCompletions) return refuse("completion_overrun");
    completion_head_seen = head;
  }
  ours->completions[completion_tail % kCompletions] = entry;
  step(Step::kCompletionWritten);
  ++completion_tail;
  // Release: pairs with the acquire of completion_tail in ClientEnd::poll. Sequentially consistent with the next load:
  // the client stores `park`, then loads completion_tail (ClientEnd::State::sleep), so one of us sees the other.
  ours->completion_tail.value.store(completion_tail, std::memory_order_seq_cst);
  step(Step::kCompletionPublished);
  const std::uint32_t parked = theirs->park.value.load(std::memory_order_seq_cst);
  if (parked % 2 == 0 || parked == woke_for.load(std::memory_order_relaxed)) return 0U;
  return parked;
}

void WorkerEnd::State::wake_client(std::uint32_t parked) {
  // A futex forgets a wake that finds nobody asleep, and the client may fall asleep under this number after it: when it
  // had taken this answer before it parked. Only a sleeper who was woken sleeps under that number no more.
  if (futex_wake(ours->completion_tail.value)) woke_for.store(parked, std::memory_order_relaxed);
  step(Step::kClientWoken);
  wakes.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ringside::shm
