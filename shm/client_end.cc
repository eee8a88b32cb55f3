#include "shm/client_end.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shm/client_state.h"
#include "shm/segment_header.h"
#include "shm/step.h"

namespace ringside::shm {
namespace {

// Writing to a socket or a pipe instead of an eventfd could block us or raise SIGPIPE. Anonymous inodes have no file
// type.
bool is_doorbell(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || (info.st_mode & S_IFMT) != 0) return false;
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

// Workers of before do not hand it out rung; later rings need that it has been (ClientEnd::WorkerSide::ring).
void ring_first(int doorbell) {
  pollfd rung{doorbell, POLLIN, 0};
  const std::uint64_t one = 1;
  if (::poll(&rung, 1, 0) == 0) (void)!::write(doorbell, &one, sizeof one);
}

}  // namespace

ClientEnd::ClientEnd(std::shared_ptr<State> state) : state_(std::move(state)) {}
ClientEnd::~ClientEnd() = default;

Result<std::unique_ptr<ClientEnd>> ClientEnd::create(std::uint64_t segment_bytes) {
  Segment segment = RS_TRY(Segment::create(segment_bytes));
  return std::unique_ptr<ClientEnd>(new ClientEnd(std::make_shared<State>(std::move(segment))));
}

int ClientEnd::request_fd() const { return state_->request.fd(); }

std::uint64_t ClientEnd::doorbells_rung() const { return state_->doorbells.load(std::memory_order_relaxed); }

Status ClientEnd::join(UniqueFd response_segment, UniqueFd doorbell, Terms terms) {
  State& state = *state_;
  std::string_view reason;
  auto adopted = Segment::adopt(std::move(response_segment), reason);
  if (!reason.empty()) return Error{Code::kPeerLied, 0, reason};
  if (!adopted) return adopted.error();
  reason = fault_of_header(*adopted, Side::kWorker, terms.generation);
  if (reason.empty() && !is_doorbell(doorbell.get())) reason = "bad_doorbell";
  if (!reason.empty()) return Error{Code::kPeerLied, 0, reason};

  ring_first(doorbell.get());
  State::Bell bell;
  {
    const std::lock_guard lock(state.mutex);
    RS_CHECK(state.worker == nullptr || state.detached, "a client's end has one worker at a time");
    state.worker =
        std::make_shared<WorkerSide>(std::move(*adopted), std::move(doorbell), terms, state.weak_from_this());
    state.theirs = state.worker->shared;
    ++state.attachment;
    state.detached = false;
    // Its cursors start where ours stand; only what it alone counts starts anew.
    state.completion_tail_seen = state.completion_head;
    state.their_release_head = 0;
    state.rang_for = 0;
    step(Step::kJoined);
    bell = state.publish_again();
    step(Step::kRepublished);
  }
  state.ring(bell);
  return {};
}

ClientEnd::State::Bell ClientEnd::State::publish_again() {
  std::vector<std::uint32_t> published;
  for (std::uint32_t index = 0; index < kSlots; ++index) {
    if (slots[index].use == Use::kPublished) published.push_back(index);
  }
  std::sort(published.begin(), published.end(),
            [this](std::uint32_t a, std::uint32_t b) { return slots[a].sequence < slots[b].sequence; });
  Bell bell;
  for (const std::uint32_t index : published) {
    const std::uint32_t retry = slots[index].retry ? kSlotRetry : 0U;
    const std::uint32_t more = slots[index].in_parts() ? kSlotMore : 0U;  // published while no worker was there
    ours->slots[index].flags.store(retry | more, std::memory_order_relaxed);
    if (auto first = submit(index)) bell = std::move(first);
  }
  return bell;
}

std::vector<ClientEnd::Dropped> ClientEnd::detach(int most_deaths) {
  State& state = *state_;
  std::vector<Dropped> dropped;
  const std::lock_guard lock(state.mutex);
  RS_CHECK(state.worker != nullptr && !state.detached, "only a worker that was joined can be gone");
  RS_CHECK(!state.waiting.load(std::memory_order_seq_cst), "nobody waits for a worker that is gone");
  state.detached = true;
  for (const std::uint32_t index : std::exchange(state.held_slots, {})) state.free_slot(index);
  for (std::uint32_t index = 0; index < kSlots; ++index) {
    State::SlotUse& slot = state.slots[index];
    if (slot.use != State::Use::kPublished) continue;
    // Acquire: pairs with the release store of `taken` in WorkerEnd::take.
    if (state.theirs->taken[index].load(std::memory_order_acquire) == slot.sequence) {
      slot.retry = true;
      ++slot.deaths;
    }
    const bool too_often = slot.deaths >= most_deaths;
    if (!too_often && !slot.in_parts() && !slot.cancel_sent) continue;
    if (!slot.cancel_sent) dropped.push_back({index, slot.sequence, slot.retry, too_often});
    state.free_blocks(slot);
    state.free_slot(index);
  }
  return dropped;
}

}  // namespace ringside::shm
