// Answers whose length nobody knows yet: each is a part of an answer that goes in parts, of a body that still grows.

#include <algorithm>
#include <utility>

#include "base/backlog.h"
#include "shm/step.h"
#include "shm/worker_end.h"
#include "shm/worker_state.h"

namespace ringside::shm {
namespace {

// A writer that was told to wait may go on when so little is unread.
constexpr std::size_t kLittle = kMuchUnread / 2;

// Of the half of a pool that streams may hold: what one of them may have of it, and what is kept for newcomers.
constexpr std::uint32_t kShare = 4;
constexpr std::uint32_t kReserve = 4;

}  // namespace

void WorkerEnd::on_room(std::function<void(std::uint32_t slot, std::uint64_t sequence)> callback) {
  state_->on_room = std::move(callback);
}

void WorkerEnd::begin_stream(std::uint32_t slot, std::uint64_t sequence, int status, std::string header) {
  State& state = *state_;
  RS_CHECK(slot < kSlots && state.slots[slot].taken == sequence && state.slots[slot].under_way.load(),
           "a call that is under way is answered, once");
  RS_CHECK((state.options.features & kFeatureParts) != 0, "streams go in parts");
  state.free_parts_in(slot);
  {
    const std::lock_guard lock(state.mutex);
    if (state.refused()) return;
    Leaving& stream = state.leaving.emplace_back();
    stream.sequence = sequence;
    stream.slot = slot;
    stream.status = status;
    stream.header = std::move(header);
    stream.stream = stream.open = true;
    state.enter_stream(std::prev(state.leaving.end()));
  }
  step(Step::kStreamBegun);
  send_parts();
}

WorkerEnd::Room WorkerEnd::write_stream(std::uint32_t slot, std::uint64_t sequence, std::string_view piece) {
  State& state = *state_;
  {
    const std::lock_guard lock(state.mutex);
    Leaving* const stream = state.stream_of(slot, sequence);
    if (stream == nullptr || stream->cancelled || state.refused()) return Room::kMore;  // nobody reads it any more
    const std::size_t unsent = stream->unsent();
    const std::size_t waiting = state.leaving_bytes.load(std::memory_order_relaxed);
    // A client that has read all so far gets the next piece, whatever its size: that has a limit of its own. And as
    // much as one body may wait in each ring, whatever others hold.
    const bool is_floor = waiting + piece.size() <= state.options.max_body_bytes;
    const bool fits = (unsent == 0 || unsent + piece.size() <= state.options.max_body_bytes) &&
                      (waiting == 0 || is_floor || waiting + piece.size() <= state.options.max_parts_bytes);
    CopyBudget* const budget = state.options.budget.get();
    stream->cut = stream->cut || !fits || (budget != nullptr && !budget->take_answer(piece.size(), is_floor));
    if (stream->cut) return Room::kCut;
    stream->more.append(piece);
    state.leaving_bytes.fetch_add(piece.size(), std::memory_order_relaxed);
    state.rouse(slot);
  }
  step(Step::kPieceKept);
  send_parts();
  const std::lock_guard lock(state.mutex);
  Leaving* const stream = state.stream_of(slot, sequence);
  if (stream == nullptr) return Room::kMore;
  const bool is_slow = stream->unsent() >= kMuchUnread;
  // A writer that was told so before and went on is still owed.
  stream->owes_room = stream->owes_room || is_slow;
  return is_slow ? Room::kSlow : Room::kMore;
}

void WorkerEnd::end_stream(std::uint32_t slot, std::uint64_t sequence) {
  {
    const std::lock_guard lock(state_->mutex);
    Leaving* const stream = state_->stream_of(slot, sequence);
    if (stream == nullptr) return;
    stream->open = false;
    state_->rouse(slot);
  }
  step(Step::kStreamEnded);
  send_parts();
}

void WorkerEnd::State::enter_stream(std::list<Leaving>::iterator at) {
  slots[at->slot].streams = true;
  slots[at->slot].stream = at;
  due_streams.fetch_add(1, std::memory_order_relaxed);
}

Leaving* WorkerEnd::State::stream_of(std::uint32_t slot, std::uint64_t sequence) {
  SlotUse& use = slots.at(slot);
  return use.streams && use.stream->sequence == sequence ? &*use.stream : nullptr;
}

std::uint32_t WorkerEnd::State::stream_share(const Leaving& stream) const {
  const std::uint32_t half = std::min(blocks.blocks() / 2, kMostStreamBlocks);
  const std::uint32_t left = half - std::min(half, stream_blocks);
  // The end of it goes block by block to those who hold nothing: whoever is read gets on.
  const std::uint32_t reserve = half / kReserve;
  if (left <= reserve) return stream.lent == 0 ? std::min(left, 1U) : 0U;
  // A part of what is left, so that something is left for whoever comes next, however many are stuck already.
  const std::uint32_t fair = std::max(1U, (left - reserve + stream.lent) / kShare);
  return std::min(left - reserve, fair - std::min(fair, stream.lent));
}

void WorkerEnd::State::rest(std::list<Leaving>::iterator at) {
  at->resting = true;
  due_streams.fetch_sub(1, std::memory_order_relaxed);
  resting.splice(resting.end(), leaving, at);
}

void WorkerEnd::State::rouse(std::uint32_t slot) {
  const auto at = slots[slot].stream;
  if (!std::exchange(at->resting, false)) return;
  due_streams.fetch_add(1, std::memory_order_relaxed);
  leaving.splice(leaving.end(), resting, at);
}

void WorkerEnd::State::settle_stream(std::list<Leaving>::iterator at, std::size_t bytes, bool last) {
  const std::size_t dropped = last ? at->body.size() - at->sent + at->more.size() : 0;  // its caller had given up
  leaving_bytes.fetch_sub(bytes + dropped, std::memory_order_relaxed);
  if (options.budget) options.budget->give_answer(bytes + dropped);
  if (last) {
    slots[at->slot].streams = false;
    due_streams.fetch_sub(1, std::memory_order_relaxed);
    leaving.erase(at);
    step(Step::kStreamSettled);
    return;
  }
  if (at->owes_room && at->unsent() < kLittle) {
    at->owes_room = false;
    if (on_room) roomy.emplace_back(at->slot, at->sequence);
  }
  if (at->due()) {
    leaving.splice(leaving.end(), leaving, at);  // the next one's turn
  } else {
    rest(at);
  }
}

}  // namespace ringside::shm
