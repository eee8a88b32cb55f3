// The client's half of the model: who reads, and who cancels.

#include "stream_model.h"

namespace ringside::shm::stream_model {
namespace {

using Byte = World::Byte;

/// Looks whether the worker is to be rung for.
Byte must_ring(World& world) {
  const Byte park = world.worker_park;
  if (park % 2 == 0 || park == world.rang_for) return 0;
  world.rang_for = park;
  return 1;
}

}  // namespace

bool Model::reader(World& world) {
  if (world.reader == Reader::kTop) {
    if (world.client_mutex != 0) return false;
    if (world.completion_tail == world.completion_head) {
      world.reader = Reader::kPark;
      return true;
    }
    world.client_mutex = 1;
    hear(world);
    world.reader = Reader::kHead;
    return true;
  }
  return world.reader <= Reader::kRing ? reader_gives_back(world) : reader_waits(world);
}

void Model::hear(World& world) {
  const auto entry = world.entries[world.completion_head % kQueue];
  if ((world.ended & bit(entry.stream)) != 0) broken("nothing comes behind an end");
  if (entry.piece != world.heard[entry.stream]) broken("each piece comes once, and in its turn");
  if (entry.has_piece != 0) ++world.heard[entry.stream];
  world.took = entry.has_piece != 0 ? static_cast<Byte>(entry.stream + 1) : Byte{0};
  if (entry.final == 0) return;
  world.ended = static_cast<Byte>(world.ended | bit(entry.stream));
  const bool cancelled = entry.stream == 0 && world.submission_tail != 0;
  if (world.heard[entry.stream] != pieces_of(entry.stream) && !cancelled) broken("an end comes behind all pieces");
}

bool Model::reader_gives_back(World& world) {
  switch (world.reader) {
    case Reader::kHead:
      ++world.completion_head;
      world.client_mutex = 0;
      world.reader = world.took != 0 ? Reader::kRelease : Reader::kTop;
      if (world.took == 1 && bounds_.stuck) {
        ++world.held;
        world.reader = Reader::kTop;
      }
      return true;
    case Reader::kRelease:
      if (world.client_mutex != 0) return false;
      world.client_mutex = 1;
      if (has(Bug::kClientLooksBeforeItReleases)) {
        world.bell = world.starved;
      } else {
        world.releases[world.release_tail % kQueue] = static_cast<Byte>(world.took - 1);
        ++world.release_tail;
      }
      world.reader = Reader::kStarved;
      return true;
    case Reader::kStarved:
      if (has(Bug::kClientLooksBeforeItReleases)) {
        world.releases[world.release_tail % kQueue] = static_cast<Byte>(world.took - 1);
        ++world.release_tail;
      } else {
        world.bell = world.starved;
      }
      world.reader = world.bell != 0 ? Reader::kBell : Reader::kRing;
      return true;
    case Reader::kBell:
      world.bell = must_ring(world);
      world.reader = Reader::kRing;
      return true;
    default:
      world.client_mutex = 0;
      if (world.bell != 0) world.doorbell = 1;
      world.bell = 0;
      world.reader = Reader::kTop;
      return true;
  }
}

bool Model::reader_waits(World& world) {
  switch (world.reader) {
    case Reader::kPark:
      world.client_park = next_odd(world.client_park);
      world.reader = Reader::kCheck;
      return true;
    case Reader::kCheck:
      world.tail = world.completion_tail;
      world.reader = world.tail != world.completion_head ? Reader::kUnpark : Reader::kFutex;
      return true;
    case Reader::kFutex:
      // The kernel compares and sleeps in one.
      world.asleep = world.completion_tail == world.tail ? 1 : 0;
      world.reader = world.asleep != 0 ? Reader::kAsleep : Reader::kPark;
      return true;
    case Reader::kAsleep:
      if (world.asleep != 0) return false;
      world.reader = Reader::kPark;
      return true;
    default:
      world.client_park = static_cast<Byte>((world.client_park | 1U) + 1U);
      world.reader = Reader::kTop;
      return true;
  }
}

// ClientEnd::cancel, of a call that has no end yet.
bool Model::canceller(World& world) {
  switch (world.canceller) {
    case Canceller::kIdle:
      if (!bounds_.cancels || world.client_mutex != 0) return false;
      world.client_mutex = 1;
      world.canceller = Canceller::kTail;
      return true;
    case Canceller::kTail:
      if ((world.ended & bit(0)) == 0) {
        ++world.submission_tail;
        world.canceller = Canceller::kPark;
      } else {
        world.canceller = Canceller::kRing;
      }
      return true;
    case Canceller::kPark:
      world.cancel_bell = must_ring(world);
      world.canceller = Canceller::kRing;
      return true;
    case Canceller::kRing:
      world.client_mutex = 0;
      if (world.cancel_bell != 0) world.doorbell = 1;
      world.cancel_bell = 0;
      world.canceller = Canceller::kDone;
      return true;
    case Canceller::kDone:
      return false;
  }
  return false;
}

}  // namespace ringside::shm::stream_model
