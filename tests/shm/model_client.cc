// The client's half of the model: shm/client_*.cc.

#include "model.h"

namespace ringside::shm::model {
namespace {

void free_slot(World& world, int index) {
  world.slots[index].sequence = 0;
  world.uses[index] = {};
}

/// Looks whether the worker of `generation` is to be rung for.
std::uint8_t must_ring(World& world) {
  const std::uint8_t park = world.worker_park;
  if (park % 2 == 0 || park == world.rang_for) return 0;
  world.rang_for = park;
  return world.generation;
}

void ring(World& world, std::uint8_t& bell) {
  if (world.alive != 0 && bell == world.generation) world.doorbell = 1;
  bell = 0;
}

}  // namespace

bool Model::publisher(World& world) {
  switch (world.publisher) {
    case Publisher::kIdle:
      if (world.mutex != 0) return false;
      if (world.cancels < bounds_.cancels && world.cancels < world.made) return start_cancel(world);
      return world.made < bounds_.calls && start_call(world);
    case Publisher::kEntry:
      world.submissions[world.submission_tail % kQueue] = world.published_slot;
      world.publisher = has(Bug::kClientPeeksAtParkBeforeItPublishes) ? Publisher::kPark : Publisher::kTail;
      return true;
    case Publisher::kTail:
      ++world.submission_tail;
      if (world.cancelling != 0) world.uses[world.published_slot].cancel_position = world.submission_tail;
      world.publisher = has(Bug::kClientPeeksAtParkBeforeItPublishes) ? Publisher::kUnlock : Publisher::kPark;
      return true;
    case Publisher::kPark:
      world.bell = must_ring(world);
      world.publisher = has(Bug::kClientPeeksAtParkBeforeItPublishes) ? Publisher::kTail : Publisher::kUnlock;
      return true;
    case Publisher::kUnlock:
      world.mutex = 0;
      world.cancelling = 0;
      world.publisher = world.bell != 0 ? Publisher::kRing : Publisher::kIdle;
      return true;
    case Publisher::kRing:
      ring(world, world.bell);
      world.publisher = Publisher::kIdle;
      return true;
  }
  return false;
}

// Claim, fill and write the slot: nobody else looks at it yet.
bool Model::start_call(World& world) {
  for (int index = 0; index < bounds_.slots; ++index) {
    auto& use = world.uses[index];
    if (use.use == Use::kCancelled && passed(world, use.cancel_position)) free_slot(world, index);
    if (use.use != Use::kFree) continue;
    use = {.use = Use::kPublished, .sequence = ++world.made};
    world.slots[index] = {use.sequence, 0};
    world.published_slot = static_cast<std::uint8_t>(index);
    if (world.detached == 0) {
      world.mutex = 1;
      world.publisher = Publisher::kEntry;
    }
    return true;
  }
  return false;
}

bool Model::start_cancel(World& world) {
  const int target = ++world.cancels;
  for (int index = 0; index < bounds_.slots; ++index) {
    auto& use = world.uses[index];
    if (use.use != Use::kPublished || use.sequence != target) continue;
    if (world.detached != 0) {
      set(world.dropped, bit(target));
      free_slot(world, index);
      return true;
    }
    use.cancel_sent = 1;
    const bool retry = use.retry != 0 && !has(Bug::kCancelForgetsRetry);
    world.slots[index].flags = static_cast<std::uint8_t>(kCancel | (retry ? kRetry : 0));
    world.published_slot = static_cast<std::uint8_t>(index);
    world.cancelling = 1;
    world.mutex = 1;
    world.publisher = Publisher::kEntry;
    return true;
  }
  return true;
}

bool Model::waiter(World& world) {
  if (world.waiter <= Waiter::kRelease) return waiter_polls(world);
  if (world.waiter <= Waiter::kWaitEnd) return waiter_waits(world);
  return waiter_attaches(world);
}

bool Model::waiter_polls(World& world) {
  switch (world.waiter) {
    case Waiter::kTop:
      world.leaving = world.gone;
      world.waiter = Waiter::kLock;
      return true;
    case Waiter::kLock:
      if (world.mutex != 0) return false;
      world.mutex = 1;
      world.waiter = Waiter::kLoad;
      return true;
    case Waiter::kLoad:
      if (world.completion_head == world.seen) world.seen = world.completion_tail;
      if (world.completion_head != world.seen) {
        world.waiter = Waiter::kEntry;
      } else {
        world.mutex = 0;
        world.waiter = world.leaving != 0 ? Waiter::kDetach : Waiter::kWaitBegin;
      }
      return true;
    case Waiter::kEntry:
      collect(world);
      world.waiter = Waiter::kHead;
      return true;
    case Waiter::kHead:
      ++world.completion_head;
      world.mutex = 0;
      world.waiter = Waiter::kRelease;
      return true;
    default:  // the loan goes back
      if (world.mutex != 0) return false;
      ++world.release_tail;
      world.waiter = Waiter::kLock;
      return true;
  }
}

void Model::collect(World& world) {
  const auto entry = world.completions[world.completion_head % kQueue];
  auto& use = world.uses[entry.slot];
  if (use.use != Use::kPublished || use.sequence != entry.sequence) return broken("an answer is for a call under way");
  if ((world.answered & bit(entry.sequence)) != 0) return broken("a call is answered once");
  set(world.answered, bit(entry.sequence));
  if (has(Bug::kRepublishesWhatWasAnswered) && world.leaving != 0) return;
  const bool must_wait = use.cancel_sent != 0 && !passed(world, use.cancel_position);
  if (must_wait && !has(Bug::kCancelledSlotIsUsedAtOnce)) {
    use.use = Use::kCancelled;
  } else {
    free_slot(world, entry.slot);
  }
}

bool Model::waiter_waits(World& world) {
  switch (world.waiter) {
    case Waiter::kWaitBegin:
      world.waiting = 1;
      world.waiter = Waiter::kWaitLook;
      return true;
    case Waiter::kWaitLook:
      world.waiter = world.completion_tail != world.completion_head ? Waiter::kWaitEnd : Waiter::kPark;
      return true;
    case Waiter::kPark:
      world.client_park = has(Bug::kClientSleepsUnderTheSameNumber) ? 1 : next_odd(world.client_park);
      world.waiter = Waiter::kCheck;
      return true;
    case Waiter::kCheck:
      world.tail = world.completion_tail;
      world.waiter = world.tail != world.completion_head ? Waiter::kUnpark : Waiter::kAsked;
      return true;
    case Waiter::kAsked:
      world.waiter = world.wake_asked != 0 ? Waiter::kUnpark : Waiter::kFutex;
      world.wake_asked = 0;
      return true;
    case Waiter::kFutex:
      // The kernel compares and sleeps in one.
      if (has(Bug::kClientSleepsOnWhateverItFinds)) world.tail = world.completion_tail;
      world.asleep = world.completion_tail == world.tail ? 1 : 0;
      world.waiter = world.asleep != 0 ? Waiter::kAsleep : Waiter::kPark;
      return true;
    case Waiter::kAsleep:
      if (world.asleep != 0) return false;
      world.waiter = Waiter::kPark;
      return true;
    case Waiter::kUnpark:
      world.client_park = has(Bug::kClientSleepsUnderTheSameNumber) ? 0 : (world.client_park | 1U) + 1U;
      world.waiter = Waiter::kWaitEnd;
      return true;
    default:
      world.waiting = 0;
      world.waiter = Waiter::kTop;
      return true;
  }
}

bool Model::waiter_attaches(World& world) {
  switch (world.waiter) {
    case Waiter::kDetach:
      if (world.mutex != 0 || world.waker != Waker::kDone) return false;
      detach(world);
      world.waiter = Waiter::kAttach;
      return true;
    case Waiter::kAttach:
      attach(world);
      world.waiter = Waiter::kJoin;
      return true;
    case Waiter::kJoin:
      if (world.mutex != 0) return false;
      world.mutex = 1;
      world.detached = 0;
      if (!has(Bug::kRungValueOutlivesItsWorker)) world.rang_for = 0;
      world.seen = world.completion_head;
      world.again = 0;
      world.waiter = Waiter::kAgainFlags;
      return true;
    case Waiter::kAgainFlags: {
      int next = -1;
      for (int index = 0; index < bounds_.slots; ++index) {
        const auto& use = world.uses[index];
        if (use.use != Use::kPublished || use.sequence <= world.again) continue;
        if (next < 0 || use.sequence < world.uses[next].sequence) next = index;
      }
      if (next < 0) {
        world.mutex = 0;
        world.waiter = world.again_bell != 0 ? Waiter::kRing : Waiter::kTop;
        return true;
      }
      world.again = world.uses[next].sequence;
      world.again_slot = static_cast<std::uint8_t>(next);
      world.slots[next].flags = world.uses[next].retry != 0 ? kRetry : 0;
      world.waiter = Waiter::kAgainEntry;
      return true;
    }
    case Waiter::kAgainEntry:
      world.submissions[world.submission_tail % kQueue] = world.again_slot;
      world.waiter = Waiter::kAgainTail;
      return true;
    case Waiter::kAgainTail:
      ++world.submission_tail;
      world.waiter = Waiter::kAgainPark;
      return true;
    case Waiter::kAgainPark:
      if (const std::uint8_t bell = must_ring(world); bell != 0) world.again_bell = bell;
      world.waiter = Waiter::kAgainFlags;
      return true;
    default:
      ring(world, world.again_bell);
      world.waiter = Waiter::kTop;
      return true;
  }
}

void Model::detach(World& world) {
  world.detached = 1;
  for (int index = 0; index < bounds_.slots; ++index) {
    auto& use = world.uses[index];
    if (use.use == Use::kCancelled) free_slot(world, index);
    if (use.use != Use::kPublished) continue;
    if (world.taken[index] == use.sequence) use.retry = 1;
    if (use.cancel_sent == 0) continue;
    set(world.dropped, bit(use.sequence));
    free_slot(world, index);
  }
}

// The thread that sees the end of file; ClientEnd::wake().
bool Model::waker(World& world) {
  switch (world.waker) {
    case Waker::kIdle:
      if (world.alive != 0 || world.detached != 0) return false;
      world.gone = 1;
      world.waker = Waker::kAsk;
      return true;
    case Waker::kAsk:
      world.wake_asked = 1;
      world.waker = Waker::kLook;
      return true;
    case Waker::kLook:
      if (world.wake_asked == 0 || world.waiting == 0 || has(Bug::kWakesOnce)) {
        world.asleep = has(Bug::kWakesOnce) ? 0 : world.asleep;
        world.waker = Waker::kDone;
        return true;
      }
      if (world.asleep == 0) return false;  // it wakes nobody, and looks again
      world.asleep = 0;
      return true;
    case Waker::kDone:
      return false;
  }
  return false;
}

}  // namespace ringside::shm::model
