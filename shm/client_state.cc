#include "shm/client_state.h"

#include <unistd.h>

#include "shm/segment_header.h"
#include "shm/step.h"
#include "shm/untrusted.h"

namespace ringside::shm {
namespace {

// When that many slots wait for the worker's acknowledgement, it is woken to give it.
constexpr std::size_t kManyHeld = kSlots / 4;

std::uint64_t deadline_ns(SteadyTime deadline) {
  if (deadline == SteadyTime::max()) return 0;
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
  return since < 1 ? 1 : static_cast<std::uint64_t>(since);
}

}  // namespace

ClientEnd::WorkerSide::WorkerSide(Segment mapped, UniqueFd bell, Terms agreed, std::weak_ptr<State> attached)
    : segment(std::move(mapped)),
      doorbell(std::move(bell)),
      terms(agreed),
      shared(reinterpret_cast<const ResponseSegment*>(segment.data())),
      pool(segment.data() + pool_offset(Side::kWorker)),
      blocks(blocks_in(Side::kWorker, segment.size())),
      owner(std::move(attached)) {}

void ClientEnd::WorkerSide::give_back(std::uint32_t first, std::uint32_t count) {
  if (const auto state = owner.lock()) state->give_back(*this, {first, count});
}

void ClientEnd::WorkerSide::ring() const {
  // Each write wakes who sleeps on the descriptor, and a counter that is not 0 tells him that he was meant; nobody
  // reads it. Adding 1 could block us: O_NONBLOCK belongs to the description that the worker has too, so it could clear
  // that and fill the counter. Adding 0 always fits.
  const std::uint64_t nothing = 0;
  (void)!::write(doorbell.get(), &nothing, sizeof nothing);
}

ClientEnd::State::State(Segment segment)
    : request(std::move(segment)),
      ours(reinterpret_cast<RequestSegment*>(request.data())),
      pool(request.data() + pool_offset(Side::kClient)),
      blocks(blocks_in(Side::kClient, request.size())) {
  ours->header = make_header(Side::kClient, request.size(), 0, 0);
  free_slots.reserve(kSlots);
  held_slots.reserve(kSlots);
  for (std::uint32_t slot = kSlots; slot > 0; --slot) free_slots.push_back(slot - 1);
}

void ClientEnd::State::write_slot(const Claim& claim, std::uint32_t flags, SteadyTime deadline) {
  Slot& slot = ours->slots[claim.slot_];
  slot.flags.store(flags, std::memory_order_relaxed);
  slot.header_bytes = static_cast<std::uint32_t>(claim.header_.size());
  slot.body_bytes = claim.body_.size();
  slot.total_bytes = claim.total_;
  slot.first_block = claim.first_;
  slot.block_count = claim.count_;
  slot.deadline_ns = deadline_ns(deadline);
  // Release: pairs with the acquire of the same word in WorkerEnd::read (a handle). A published slot is ordered by
  // submission_tail besides.
  slot.sequence.store(claim.sequence_, std::memory_order_release);
  step(Step::kSlotWritten);
}

ClientEnd::State::Bell ClientEnd::State::submit(std::uint32_t slot) {
  ours->submissions[submission_tail % kSubmissions] = slot;
  step(Step::kEntryWritten);
  ++submission_tail;
  // Release: pairs with the acquire of submission_tail in WorkerEnd::take. Sequentially consistent: see must_ring.
  ours->submission_tail.value.store(submission_tail, std::memory_order_seq_cst);
  step(Step::kTailPublished);
  return must_ring();
}

ClientEnd::State::Bell ClientEnd::State::must_ring() {
  // The worker stores `park`, then loads submission_tail (WorkerEnd::park); we stored submission_tail, now load `park`.
  // All four are sequentially consistent, so one of us sees the other.
  const std::uint32_t parked = theirs->park.value.load(std::memory_order_seq_cst);
  if (parked % 2 == 0 || parked == rang_for) return nullptr;
  rang_for = parked;
  return worker;
}

void ClientEnd::State::ring(const Bell& bell) {
  if (bell == nullptr) return;
  bell->ring();
  doorbells.fetch_add(1, std::memory_order_relaxed);
  step(Step::kDoorbellRung);
}

void ClientEnd::State::release(Release entry) {
  ours->releases[release_tail % kReleases] = entry;
  ++release_tail;
  // Release: pairs with the acquire of release_tail in WorkerEnd::State::take_releases. Our last reads of the run come
  // before it too, so the worker's next bytes there cannot show up in them. Sequentially consistent: see give_back.
  ours->release_tail.value.store(release_tail, std::memory_order_seq_cst);
  step(Step::kLoanReleased);
}

bool ClientEnd::State::must_look_for_room() const {
  // The worker stores `starved` and `park`, then loads release_tail (WorkerEnd::park); we stored release_tail, now load
  // the two. All sequentially consistent, so one of us sees the other.
  const bool starved = theirs->starved.value.load(std::memory_order_seq_cst) != 0;
  if (starved) step(Step::kCreditGiven);
  return starved;
}

void ClientEnd::State::give_back(const WorkerSide& side, Release run) {
  Bell bell;
  {
    const std::lock_guard lock(mutex);
    // A worker that is gone wants nothing back, and its successor never lent it.
    if (worker.get() != &side || detached) return;
    release(run);
    if (must_look_for_room()) bell = must_ring();
  }
  ring(bell);
}

void ClientEnd::State::free_blocks(SlotUse& slot) {
  if (slot.count > 0) blocks.give(slot.first, slot.count);
  slot.count = 0;
}

void ClientEnd::State::free_slot(std::uint32_t index) {
  ours->slots[index].sequence.store(0, std::memory_order_relaxed);
  // Pairs with fence_acquire in WorkerEnd::read: whoever sees bytes that come after this sees the 0 as well.
  fence_release();
  slots[index] = SlotUse{};
  free_slots.push_back(index);
}

void ClientEnd::State::hold_slot(std::uint32_t index, Use use) {
  slots[index].use = use;
  held_slots.push_back(index);
}

ClientEnd::State::Bell ClientEnd::State::abandon_slot(std::uint32_t index) {
  Slot& slot = ours->slots[index];
  slot.sequence.store(0, std::memory_order_relaxed);
  fence_release();  // as in free_slot
  slot.abandoned = slots[index].sequence;
  release({index, 0});
  hold_slot(index, Use::kAbandoned);
  step(Step::kHandleAbandoned);
  // The blocks of an answer that nobody wants any more may be the room that another waits for.
  return must_look_for_room() || held_slots.size() >= kManyHeld ? must_ring() : nullptr;
}

bool ClientEnd::State::worker_has_passed(std::uint32_t submission) const {
  // Acquire: pairs with the release store of submission_head in WorkerEnd::take: what the entries before it named has
  // been read.
  return static_cast<std::int32_t>(theirs->submission_head.value.load(std::memory_order_acquire) - submission) >= 0;
}

void ClientEnd::State::settle_held() {
  std::erase_if(held_slots, [this](std::uint32_t index) {
    const SlotUse& slot = slots[index];
    // Acquire: pairs with the release store of `taken` in WorkerEnd::State::take_releases: the worker has done with it.
    const bool done = slot.use == Use::kAbandoned
                          ? theirs->taken[index].load(std::memory_order_acquire) == slot.sequence
                          : worker_has_passed(slot.cancel_position);
    if (done) free_slot(index);
    return done;
  });
}

Status ClientEnd::State::take_releases() {
  // Acquire: pairs with the worker's release store of release_tail: it has done with these runs.
  const std::uint32_t tail = theirs->release_tail.value.load(std::memory_order_acquire);
  if (tail - their_release_head > kReleases) return lied("release_overrun");
  // What may have to be published again is not given back before its answer.
  if (tail != their_release_head && (worker->terms.features & kFeatureAgain) != 0) return lied("bad_release");
  for (; their_release_head != tail; ++their_release_head) {
    const Release& shared = theirs->releases[their_release_head % kReleases];
    const Release entry{read_once(shared.first), read_once(shared.count)};
    bool found = false;
    for (SlotUse& slot : slots) {
      if (slot.use != Use::kPublished || slot.count == 0) continue;
      if (slot.first != entry.first || slot.count != entry.count) continue;
      free_blocks(slot);
      found = true;
      break;
    }
    if (!found) return lied("bad_release");
  }
  return {};
}

Error ClientEnd::State::lied(std::string_view name) {
  lie = name;
  return Error{Code::kPeerLied, 0, name};
}

}  // namespace ringside::shm
