// The worker's half of the model: shm/worker_*.cc. And death, and what must be true in the end.

#include <algorithm>
#include <iterator>

#include "model.h"

namespace ringside::shm::model {

bool Model::server(World& world) {
  if (world.alive == 0) return false;
  switch (world.server) {
    case Server::kTop:
      if (world.submission_head == world.tail_seen) world.tail_seen = world.submission_tail;
      world.server = world.submission_head == world.tail_seen ? Server::kSettle : Server::kEntry;
      return true;
    case Server::kEntry:
      world.slot = world.submissions[world.submission_head % kQueue];
      world.server = Server::kSlot;
      return true;
    case Server::kSlot:
      read_slot(world);
      return true;
    case Server::kTaken:
      world.taken[world.slot] = world.last_taken[world.slot];
      world.server = Server::kHead;
      return true;
    case Server::kHead:
      ++world.submission_head;
      world.server = world.is_call != 0 && !has(Bug::kServedBeforeTheJournal) ? Server::kEffect : Server::kTop;
      return true;
    case Server::kEffect:
      run_call(world);
      world.server = has(Bug::kServedBeforeTheJournal) ? Server::kTaken : Server::kTop;
      return true;
    default:
      return server_parks(world);
  }
}

void Model::read_slot(World& world) {
  const std::uint8_t index = world.slot;
  const auto [sequence, flags] = world.slots[index];
  if (sequence == 0) return broken("a published slot is in use");
  world.flags = flags;
  world.is_call = sequence != world.last_taken[index] ? 1 : 0;
  if (world.is_call == 0) {
    if ((world.cancelled & bit(index)) != 0 || (flags & kCancel) == 0) return broken("nothing is published twice");
    set(world.cancelled, bit(index));
    world.server = Server::kHead;
    return;
  }
  if ((world.under_way & bit(index)) != 0) return broken("a slot is used again after its answer");
  world.last_taken[index] = sequence;
  clear(world.cancelled, bit(index));
  set(world.under_way, bit(index));
  world.server = has(Bug::kServedBeforeTheJournal) ? Server::kEffect : Server::kTaken;
}

void Model::run_call(World& world) {
  const std::uint8_t call = bit(world.last_taken[world.slot]);
  const bool retry = (world.flags & kRetry) != 0;
  if ((world.answered & call) != 0) broken("an answered call does not run again");
  if ((world.ran & call) != 0 && !retry) broken("a call does not run twice without RETRY");
  if (retry && (world.journaled & call) == 0) broken("a call that nobody took is not marked RETRY");
  set(world.ran, call);
  set(world.held, bit(world.slot));
}

bool Model::server_parks(World& world) {
  const bool looks_first = has(Bug::kWorkerLooksBeforeItParks);
  switch (world.server) {
    case Server::kSettle:
      world.runs_lent = static_cast<std::uint8_t>(world.runs_lent -
                                                  static_cast<std::uint8_t>(world.release_tail - world.release_head));
      world.release_head = world.release_tail;
      world.server = looks_first ? Server::kCheck : Server::kPark;
      return true;
    case Server::kPark:
      world.worker_park = has(Bug::kWorkerSleepsUnderTheSameNumber) ? 1 : next_odd(world.worker_park);
      world.server = looks_first ? Server::kAsleep : Server::kCheck;
      return true;
    case Server::kCheck:
      if (world.submission_tail != world.submission_head) {
        world.server = Server::kUnpark;
      } else {
        world.server = looks_first ? Server::kPark : Server::kAsleep;
      }
      return true;
    case Server::kAsleep:
      if (world.doorbell == 0) return false;
      world.doorbell = 0;
      world.server = Server::kUnpark;
      return true;
    default:
      world.worker_park = has(Bug::kWorkerSleepsUnderTheSameNumber) ? 0 : (world.worker_park | 1U) + 1U;
      world.server = Server::kTop;
      return true;
  }
}

bool Model::answerer(World& world, int slot) {
  if (world.alive == 0) return false;
  const bool peeks = has(Bug::kWorkerPeeksAtParkBeforeItPublishes);
  // Which call comes next is a choice; the rest is not, and agent 0 does it.
  if (world.answerer == Answerer::kIdle ? (world.held & bit(slot)) == 0 : slot != 0) return false;
  switch (world.answerer) {
    case Answerer::kIdle:
      clear(world.held, bit(slot));
      clear(world.under_way, bit(slot));
      ++world.runs_lent;
      world.completions[world.completion_tail % kQueue] = {static_cast<std::uint8_t>(slot), world.last_taken[slot]};
      world.answerer = peeks ? Answerer::kPark : Answerer::kTail;
      return true;
    case Answerer::kTail:
      ++world.completion_tail;
      world.answerer = Answerer::kPark;
      if (peeks) world.answerer = world.parked != 0 ? Answerer::kWake : Answerer::kIdle;
      return true;
    case Answerer::kPark: {
      const std::uint8_t park = world.client_park;
      if (park % 2 == 1 && park != world.woke_for) world.parked = park;
      world.answerer = world.parked != 0 ? Answerer::kWake : Answerer::kIdle;
      if (peeks) world.answerer = Answerer::kTail;
      return true;
    }
    case Answerer::kWake:
      if (world.asleep != 0 || has(Bug::kEarlyWakeCounts)) world.woke_for = world.parked;
      world.asleep = world.parked = 0;
      world.answerer = Answerer::kIdle;
      return true;
  }
  return false;
}

void Model::attach(World& world) const {
  const World fresh;
  world.alive = 1;
  world.gone = 0;
  world.waker = Waker::kIdle;
  ++world.generation;
  world.submission_head = has(Bug::kSuccessorStartsAtZero) ? kStart : world.submission_tail;
  world.tail_seen = world.submission_head;
  world.completion_tail = world.completion_head;
  world.release_head = world.release_tail;
  world.runs_lent = 0;
  world.worker_park = 0;
  world.woke_for = 0;
  std::copy(std::begin(fresh.taken), std::end(fresh.taken), world.taken);
  std::copy(std::begin(fresh.last_taken), std::end(fresh.last_taken), world.last_taken);
}

bool Model::step(World& world, Agent agent) {
  switch (agent) {
    case Agent::kPublisher:
      return publisher(world);
    case Agent::kWaiter:
      return waiter(world);
    case Agent::kWaker:
      return waker(world);
    case Agent::kServer:
      return server(world);
    case Agent::kDeath:
      break;
    default:
      return answerer(world, static_cast<int>(agent) - static_cast<int>(Agent::kAnswerer0));
  }
  if (world.alive == 0 || world.deaths == bounds_.deaths) return false;
  ++world.deaths;
  world.alive = 0;
  // Its memory is gone, what it shared stays.
  for (const std::uint8_t sequence : world.taken) set(world.journaled, sequence == 0 ? std::uint8_t{0} : bit(sequence));
  world.doorbell = world.slot = world.flags = world.is_call = world.cancelled = world.under_way = world.held =
      world.parked = 0;
  world.server = Server::kTop;
  world.answerer = Answerer::kIdle;
  return true;
}

const char* Model::fault_at_rest(const World& world) const {
  const auto all = static_cast<std::uint8_t>((1U << static_cast<unsigned>(bounds_.calls + 1)) - 2);
  if (world.made != bounds_.calls || world.cancels != bounds_.cancels || (world.answered | world.dropped) != all)
    return "nobody sleeps while there is work";
  if (world.alive == 0 || world.detached != 0 || world.mutex != 0) return "a worker's death is noticed";
  if (world.submission_head != world.submission_tail) return "every entry is read";
  for (const auto& use : world.uses) {
    const bool free = use.use == Use::kFree || (use.use == Use::kCancelled && passed(world, use.cancel_position));
    if (!free) return "every slot is free in the end";
  }
  if (world.runs_lent != static_cast<std::uint8_t>(world.release_tail - world.release_head))
    return "every block is given back in the end";
  return nullptr;
}

}  // namespace ringside::shm::model
