// Bodies that are larger than a free run: requests that come, and answers that go, part by part.

#include <algorithm>
#include <utility>

#include "shm/run.h"
#include "shm/step.h"
#include "shm/untrusted.h"
#include "shm/worker_end.h"
#include "shm/worker_state.h"

namespace ringside::shm {
namespace {

// Runs with parts of answers that may be with the client at once. The queue of completions has room for these, for the
// ends of all calls, and for as many questions for a next part as a client has runs for parts. It is runs not given
// back that are counted, and not entries not read: a release rings for whoever waits (`starved`), reading rings nobody.
constexpr std::uint32_t kPartCredits = 768;
static_assert(kPartCredits + kSlots + kMaxBlocks / kLeastPartBlocks <= kCompletions);
static_assert(kMostStreamBlocks <= kPartCredits - kMaxBlocks / kLeastPartBlocks, "a part of any other answer has one");

Completion send_next(std::uint32_t slot, std::uint64_t sequence) {
  Completion entry{};
  entry.sequence = sequence;
  entry.slot = slot;
  entry.flags = kCompletionSend;
  return entry;
}

}  // namespace

Result<std::optional<WorkerEnd::Taken>> WorkerEnd::State::take_part(std::uint32_t slot, const CallCopy& call) {
  SlotUse& use = slots[slot];
  if (use.arriving && use.arriving->sequence != call.sequence) return refuse("slot_in_use");
  if ((call.flags & kSlotCancel) != 0) {
    RS_TRY_STATUS(drop_arriving(slot, call.sequence));
    return std::optional<Taken>();
  }
  if (const auto fault = fault_of_part(call, use.arriving.get()); !fault.empty()) return refuse(fault);
  if (call.body_bytes == 0) return refuse("bad_length");
  if (use.arriving) {
    const std::lock_guard lock(mutex);
    if (!std::exchange(use.part_asked, false)) return refuse("part_not_asked");
    // Memory for all of it is taken when it is counted in the budget, and not before.
    use.arriving->body.reserve(call.total_bytes + kParserPadding);
    first_parts -= std::exchange(use.arriving->first_part, 0);
  } else {
    use.arriving = std::make_unique<Arriving>();
    use.arriving->sequence = call.sequence;
    use.arriving->total = call.total_bytes;
    use.arriving->retry = (call.flags & kSlotRetry) != 0;
    use.arriving->header = copy_out(their_pool + block_offset(call.first), call.header_bytes);
    if (call.deadline_ns != 0) use.arriving->deadline = SteadyTime(std::chrono::nanoseconds(call.deadline_ns));
    // First parts lie in the segment all at once: more bytes of them than it has are the same bytes, lent twice.
    use.arriving->first_part = call.header_bytes + call.body_bytes;
    first_parts += use.arriving->first_part;
    if (first_parts > request.size()) return refuse("overlapping_bodies");
  }
  Arriving& arriving = *use.arriving;
  const std::byte* const bytes = their_pool + block_offset(call.first) + body_offset(call.header_bytes);
  arriving.body.append(reinterpret_cast<const char*>(bytes), call.body_bytes);
  step(Step::kPartCopied);
  const bool whole = arriving.body.size() == arriving.total;
  if (whole == ((call.flags & kSlotMore) != 0)) return refuse("bad_length");
  if (!whole) {
    took_part = true;
    RS_TRY_STATUS(ask_for_part(slot));
    step(Step::kPartAsked);
    return std::optional<Taken>();
  }
  std::optional<Taken> taken(std::in_place);
  taken->slot = slot;
  taken->sequence = call.sequence;
  taken->header = std::move(arriving.header);
  taken->body = std::move(arriving.body);
  taken->deadline = arriving.deadline;
  taken->retry = arriving.retry;
  taken->in_parts = true;
  use.arriving.reset();
  begin(slot, call.sequence);
  return taken;
}

Status WorkerEnd::State::drop_arriving(std::uint32_t slot, std::uint64_t sequence) {
  SlotUse& use = slots[slot];
  Completion entry{};
  entry.sequence = sequence;
  entry.slot = slot;
  entry.flags = kCompletionFinal;
  entry.status = kCutStatus;
  use.taken = sequence;  // the entry that cancels it may still come
  use.cancelled = false;
  if (use.arriving) first_parts -= use.arriving->first_part;
  use.arriving.reset();
  free_parts_in(slot);
  std::uint32_t parked = 0;
  {
    const std::lock_guard lock(mutex);
    use.part_asked = false;
    parked = RS_TRY(publish(entry));
  }
  if (parked != 0) wake_client(parked);
  return {};
}

Status WorkerEnd::State::ask_for_part(std::uint32_t slot) {
  Arriving& arriving = *slots[slot].arriving;
  std::uint32_t parked = 0;
  {
    const std::lock_guard lock(mutex);
    if (slots[slot].parts_in != 0) {
      slots[slot].part_asked = true;
      parked = RS_TRY(publish(send_next(slot, arriving.sequence)));
    } else {
      waiting_parts.emplace_back(slot, arriving.sequence);
      slots[slot].parts_in = arriving.total;
      parked = RS_TRY(admit_waiting());
    }
  }
  if (parked != 0) wake_client(parked);
  return {};
}

Result<std::uint32_t> WorkerEnd::State::admit_waiting() {
  std::uint32_t parked = 0;
  while (!waiting_parts.empty()) {
    const auto [slot, sequence] = waiting_parts.front();
    const std::size_t bytes = slots[slot].parts_in;
    if (!take_budget(bytes)) return parked;
    waiting_parts.pop_front();
    slots[slot].part_asked = true;
    if (const std::uint32_t asleep = RS_TRY(publish(send_next(slot, sequence))); asleep != 0) parked = asleep;
  }
  if (std::exchange(in_line, false)) options.budget->leave(this);
  return parked;
}

bool WorkerEnd::State::take_budget(std::size_t bytes) {
  // A body larger than the whole budget comes alone.
  if (parts_in != 0 && parts_in + bytes > options.max_parts_bytes) {
    if (std::exchange(in_line, false)) options.budget->leave(this);
    return false;
  }
  in_line = options.budget != nullptr && !options.budget->take(this, bytes, parts_in == 0, options.turn);
  if (!in_line) parts_in += bytes;
  return !in_line;
}

void WorkerEnd::admit_parts() {
  State& state = *state_;
  if (state.refused()) return;
  std::uint32_t parked = 0;
  {
    const std::lock_guard lock(state.mutex);
    const auto admitted = state.admit_waiting();
    parked = admitted.ok() ? *admitted : 0;
  }
  if (parked != 0) state.wake_client(parked);
}

void WorkerEnd::State::free_parts_in(std::uint32_t slot) {
  // Until the call is answered nobody else writes it.
  if (slots[slot].parts_in == 0) return;
  std::uint32_t parked = 0;
  {
    const std::lock_guard lock(mutex);
    const std::size_t bytes = std::exchange(slots[slot].parts_in, 0);
    const auto waiting = std::find_if(waiting_parts.begin(), waiting_parts.end(),
                                      [slot](const auto& each) { return each.first == slot; });
    if (waiting != waiting_parts.end()) {
      waiting_parts.erase(waiting);  // never counted
    } else {
      parts_in -= bytes;
      if (options.budget) options.budget->give(bytes);
    }
    const auto admitted = admit_waiting();
    parked = admitted.ok() ? *admitted : 0;
  }
  if (parked != 0) wake_client(parked);
}

bool WorkerEnd::sends_parts() const {
  return state_->leaving_bytes.load(std::memory_order_relaxed) != 0 ||
         state_->due_streams.load(std::memory_order_relaxed) != 0;
}

bool WorkerEnd::complete_in_parts(std::uint32_t slot, std::uint64_t sequence, int status, std::string header,
                                  std::string& body, bool paced) {
  State& state = *state_;
  RS_CHECK(slot < kSlots && state.slots[slot].taken == sequence && state.slots[slot].under_way.load(),
           "a call that is under way is completed, once");
  if ((state.options.features & kFeatureParts) == 0) return false;
  state.free_parts_in(slot);
  {
    const std::lock_guard lock(state.mutex);
    const std::size_t waiting = state.leaving_bytes.load(std::memory_order_relaxed);
    if (waiting != 0 && waiting + body.size() > state.options.max_parts_bytes) return false;
    const std::size_t charged = body.size() + (paced ? 0 : 1);
    if (state.options.budget && !state.options.budget->take_answer(charged)) return false;
    Leaving& answer = state.leaving.emplace_back();
    answer.sequence = sequence;
    answer.slot = slot;
    answer.status = status;
    answer.header = std::move(header);
    answer.body = std::move(body);
    answer.stream = paced;
    state.leaving_bytes.fetch_add(charged, std::memory_order_relaxed);
    if (paced) state.enter_stream(std::prev(state.leaving.end()));
  }
  send_parts();
  return true;
}

void WorkerEnd::send_parts() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  // Whoever sends looks again after each part that it has written without the lock, so it finds what is new.
  if (state.sending || state.refused()) return;
  state.sending = true;
  std::uint32_t parked = 0;
  // Before the releases are looked at: see park().
  if (!state.leaving.empty()) {
    state.ours->starved.value.store(1, std::memory_order_seq_cst);
    step(Step::kStarved);
  }
  while (true) {
    const auto part = state.next_part();
    if (!part.ok() || !part->has_value()) break;
    const Leaving& answer = *(*part)->answer;
    const std::string_view header = answer.begun ? std::string_view() : std::string_view(answer.header);
    const std::string_view body = std::string_view(answer.body).substr(answer.sent, (*part)->bytes);
    const bool streams = answer.stream;
    lock.unlock();
    write_run(state.pool + block_offset((*part)->first), header, body);
    step(streams ? Step::kPieceWritten : Step::kPartWritten);
    lock.lock();
    const auto published = state.publish_part(**part);
    if (!published.ok()) break;
    step(streams ? Step::kPieceSent : Step::kPartSent);
    if (*published != 0) parked = *published;
  }
  if (state.leaving.empty()) state.ours->starved.value.store(0, std::memory_order_relaxed);
  state.sending = false;
  const auto roomy = std::exchange(state.roomy, {});
  lock.unlock();
  if (parked != 0) state.wake_client(parked);
  for (const auto& [slot, sequence] : roomy) {
    step(Step::kWriterRoused);
    state.on_room(slot, sequence);
  }
}

Result<std::optional<WorkerEnd::State::Part>> WorkerEnd::State::next_part() {
  RS_TRY_STATUS(take_releases());
  const bool has_credit = parts_out < kPartCredits;
  for (auto at = leaving.begin(); at != leaving.end();) {
    const auto answer = at++;
    if (!answer->due()) {
      rest(answer);
      continue;
    }
    if (answer->sent == answer->body.size() && !answer->more.empty()) {
      answer->body = std::exchange(answer->more, {});
      answer->sent = 0;
    }
    auto part = fit_part(answer, answer->stream && answer->begun ? stream_share(*answer) : kMaxBlocks);
    if (part && !part->last && !has_credit) {
      if (part->count > 0) free_run(part->first);
      continue;
    }
    if (part) return part;
    if (!answer->stream) break;  // the pool is full; a stream may have used up its share alone
  }
  return std::optional<Part>();
}

std::optional<WorkerEnd::State::Part> WorkerEnd::State::fit_part(std::list<Leaving>::iterator at,
                                                                 std::uint32_t most_blocks) {
  const Leaving& answer = *at;
  const std::size_t header_bytes = answer.begun ? 0 : answer.header.size();
  // A stream's header goes alone, whatever the share: a listener must learn that it is heard.
  const std::size_t unsent = answer.cancelled ? 0 : answer.body.size() - answer.sent;
  const std::size_t left = answer.stream && !answer.begun ? 0 : unsent;
  const std::size_t most = std::min<std::size_t>(left, std::size_t{kPartBlocks} * kBlockBytes);
  const auto needed = blocks_needed(header_bytes, most);
  RS_CHECK(needed.has_value(), "a header and a part of a body fit a pool");
  // Nor does a header carry the end of a stream that was cut: in one completion the two are a whole answer.
  const bool may_end = !answer.open && (answer.begun || !answer.cut);
  const auto is_last = [&](std::size_t bytes) { return may_end && bytes == answer.unsent(); };
  if (*needed == 0) return Part{.answer = at, .last = is_last(0)};
  const std::uint32_t whole = std::min(*needed, most_blocks);
  for (std::uint32_t count = whole; count > 0 && (count == whole || count >= kLeastPartBlocks); count /= 2) {
    const std::size_t offset = body_offset(static_cast<std::uint32_t>(header_bytes));
    const std::size_t bytes = std::size_t{count} * kBlockBytes;
    if (bytes <= offset && left > 0) break;
    const auto first = take_run(count, kNoSlot);
    if (!first) continue;
    Part part{.answer = at, .first = *first, .count = count};
    part.bytes = left == 0 ? 0 : std::min(most, bytes - offset);
    part.last = is_last(part.bytes);
    return part;
  }
  return std::nullopt;
}

Result<std::uint32_t> WorkerEnd::State::publish_part(const Part& part) {
  Leaving& answer = *part.answer;
  const bool last = part.last || (answer.cancelled && !answer.open);
  Completion entry{};
  entry.sequence = answer.sequence;
  entry.slot = answer.slot;
  entry.flags = last ? kCompletionFinal : kCompletionMore;
  entry.status = last && answer.cut ? kCutStatus : answer.status;
  entry.header_bytes = answer.begun ? 0 : static_cast<std::uint32_t>(answer.header.size());
  answer.begun = true;
  entry.body_bytes = part.bytes;
  entry.first_block = part.first;
  entry.block_count = *blocks_needed(entry.header_bytes, part.bytes);
  if (part.count > 0) {
    Run& run = runs[part.first];
    run.use = RunUse::kLent;
    // The client gives back exactly what its bytes need.
    if (part.count > entry.block_count) blocks.give(part.first + entry.block_count, part.count - entry.block_count);
    run.count = entry.block_count;
    run.has_credit = !last;
    parts_out += last ? 0 : 1;
    if (answer.stream) {
      run.stream_slot = answer.slot;
      run.stream_sequence = answer.sequence;
      answer.lent += run.count;
      stream_blocks += run.count;
    }
  }
  answer.sent += part.bytes;
  if (last) slots[answer.slot].under_way.store(false, std::memory_order_release);
  const auto published = publish(entry);
  if (answer.stream) {
    settle_stream(part.answer, part.bytes, last);
  } else if (last) {
    leaving_bytes.fetch_sub(answer.body.size() + 1, std::memory_order_relaxed);
    if (options.budget) options.budget->give_answer(answer.body.size() + 1);
    leaving.erase(part.answer);
  } else {
    leaving.splice(leaving.end(), leaving, part.answer);  // the next one's turn
  }
  return published;
}

void WorkerEnd::State::give_up_leaving(std::uint32_t slot) {
  const std::lock_guard lock(mutex);
  if (slots[slot].streams) slots[slot].stream->cancelled = true;
  for (Leaving& answer : leaving) answer.cancelled = answer.cancelled || answer.slot == slot;
}

}  // namespace ringside::shm
