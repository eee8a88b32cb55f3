// The worker's half of the model: shm/worker_streams.cc, shm/worker_parts.cc. And what must be true in the end.

#include "stream_model.h"

namespace ringside::shm::stream_model {
namespace {

using Byte = World::Byte;

int unsent(const World::Stream& stream) { return stream.cancelled != 0 ? 0 : stream.made - stream.sent; }
/// Whether there is something to send, be it the end.
bool due(const World::Stream& stream) { return stream.over == 0 && (stream.open == 0 || unsent(stream) > 0); }
/// It is among those that are looked at when there is room.
bool leaves(const World::Stream& stream) { return stream.over == 0 && stream.rests == 0; }
bool any_leaves(const World& world) { return leaves(world.streams[0]) || leaves(world.streams[1]); }

}  // namespace

World Model::start() const {
  World world;
  world.free = static_cast<Byte>(bounds_.blocks);
  for (int stream = 0; stream < kMostStreams; ++stream) {
    world.streams[stream].open = world.streams[stream].rests = 1;
    if (stream < bounds_.streams) continue;
    world.streams[stream].over = 1;
    world.writers[stream].at = Writer::kDone;
  }
  return world;
}

bool Model::step(World& world, int agent) {
  switch (agent) {
    case kServer:
      return server(world);
    case kReader:
      return reader(world);
    case kCanceller:
      return canceller(world);
    default:
      return writer(world, agent);
  }
}

// WorkerEnd::write_stream and end_stream, as somebody calls them who waits when he is told to.
bool Model::writer(World& world, int stream) {
  auto& use = world.writers[stream];
  auto& mine = world.streams[stream];
  if (world.senders[stream].at != Send::kIdle) return send(world, world.senders[stream]);
  if (use.at == Writer::kDone || world.mutex != 0) return false;
  if (use.at == Writer::kAfter) {
    const bool slow = mine.over == 0 && unsent(mine) >= bounds_.much;
    use.waits = slow ? 1 : 0;
    use.told = 0;
    if (slow && !has(Bug::kOwedRoomIsForgotten)) mine.owes = 1;
    use.at = Writer::kTop;
    return true;
  }
  if (mine.over != 0 || mine.cancelled != 0) {  // whoever heard of the cancel ends it
    use.at = Writer::kDone;
    return true;
  }
  if (use.waits != 0 && use.told == 0) return false;
  if (mine.made < pieces_of(stream)) {
    ++mine.made;
    use.at = Writer::kAfter;
  } else {
    mine.open = 0;
    use.at = Writer::kDone;
  }
  mine.rests = 0;
  world.senders[stream].at = Send::kEnter;
  return true;
}

bool Model::send(World& world, Sender& sender) {
  switch (sender.at) {
    case Send::kEnter:
      if (world.mutex != 0) return false;
      if (world.sending != 0) {  // that one looks again
        sender.at = Send::kIdle;
        return true;
      }
      world.mutex = world.sending = 1;
      sender.at = Send::kAnnounce;
      return true;
    case Send::kAnnounce:
      if (any_leaves(world) && !has(Bug::kWorkerLooksBeforeItSaysStarved)) world.starved = 1;
      sender.at = Send::kLook;
      return true;
    case Send::kLook:
      take_releases(world);
      if (choose(world, sender)) {
        world.mutex = 0;
        sender.at = Send::kWrite;
      } else {
        sender.at = Send::kLeave;
      }
      return true;
    case Send::kWrite:
      if (world.mutex != 0) return false;
      world.mutex = 1;
      sender.at = Send::kPublish;
      return true;
    case Send::kPublish:
      publish(world, sender);
      sender.at = Send::kPark;
      return true;
    case Send::kPark: {
      const Byte park = world.client_park;
      if (park % 2 == 1 && park != world.woke_for) sender.parked = park;
      settle(world, sender);
      sender.at = has(Bug::kWhoHasSentLooksNoMore) ? Send::kLeave : Send::kLook;
      return true;
    }
    default:
      return send_or_leave(world, sender);
  }
}

bool Model::send_or_leave(World& world, Sender& sender) {
  switch (sender.at) {
    case Send::kLeave:
      if (has(Bug::kWorkerLooksBeforeItSaysStarved) && any_leaves(world)) world.starved = 1;
      if (!any_leaves(world) || has(Bug::kStarvedIsUnsaidWhileSomethingWaits)) world.starved = 0;
      world.sending = world.mutex = 0;
      sender.tells = world.roomy;
      world.roomy = 0;
      sender.at = sender.parked != 0 ? Send::kWake : Send::kTell;
      return true;
    case Send::kWake:
      if (world.asleep != 0 || has(Bug::kEarlyWakeCounts)) world.woke_for = sender.parked;
      world.asleep = sender.parked = 0;
      sender.at = Send::kTell;
      return true;
    case Send::kTell:
      for (int stream = 0; stream < bounds_.streams; ++stream) {
        if ((sender.tells & bit(stream)) != 0) world.writers[stream].told = 1;
      }
      sender = {};
      return true;
    default:
      return false;
  }
}

void Model::take_releases(World& world) const {
  for (; world.release_head != world.release_tail; ++world.release_head) {
    ++world.free;
    --world.streams[world.releases[world.release_head % kQueue]].lent;
  }
}

/// The next part that there is room for, its block taken.
bool Model::choose(World& world, Sender& sender) const {
  const auto waiting = static_cast<Byte>(world.completion_tail - world.completion_head);
  for (int i = 0; i < kMostStreams; ++i) {
    const int index = (world.turn + i) % kMostStreams;
    auto& stream = world.streams[index];
    if (!leaves(stream)) continue;
    if (!due(stream)) {
      stream.rests = 1;
      continue;
    }
    const int left = unsent(stream);
    const bool is_last = stream.open == 0 && left <= 1;
    const bool has_room = world.free > 0 && (stream.lent < bounds_.share || has(Bug::kOneMayHoldAll));
    if ((left > 0 || has(Bug::kTheEndWaitsForRoom)) && !has_room) continue;
    if (!is_last && has(Bug::kRoomByReadingAlone) && waiting > 0) continue;
    sender.stream = static_cast<Byte>(index);
    sender.final = is_last ? 1 : 0;
    if (left == 0) {
      sender.final = 2;  // nothing but the end
    } else {
      --world.free;
      ++stream.lent;
    }
    return true;
  }
  return false;
}

void Model::publish(World& world, const Sender& sender) {
  auto& stream = world.streams[sender.stream];
  const bool final = sender.final != 0 || (stream.cancelled != 0 && stream.open == 0);
  if (stream.over != 0) broken("a stream ends once");
  world.entries[world.completion_tail % kQueue] = {
      sender.stream, stream.sent, static_cast<Byte>(sender.final != 2 ? 1 : 0), static_cast<Byte>(final ? 1 : 0)};
  if (sender.final != 2) ++stream.sent;
  if (final) stream.over = 1;
  ++world.completion_tail;
}

/// After a piece was published.
void Model::settle(World& world, const Sender& sender) const {
  auto& stream = world.streams[sender.stream];
  world.turn = static_cast<Byte>((sender.stream + 1) % kMostStreams);
  if (stream.over != 0) return;
  if (stream.owes != 0 && unsent(stream) < bounds_.much) {
    stream.owes = 0;
    world.roomy = static_cast<Byte>(world.roomy | bit(sender.stream));
  }
  if (!due(stream)) stream.rests = 1;
}

// WorkerEnd::take and park, and the door that hears of a cancel.
bool Model::server(World& world) {
  auto& sender = world.senders[kServer];
  if (sender.at != Send::kIdle) return send(world, sender);
  switch (world.server) {
    case Server::kTop:
      if (world.submission_tail != world.submission_head) {
        ++world.submission_head;
        world.server = Server::kGiveUp;
        return true;
      }
      if (any_leaves(world)) sender.at = Send::kEnter;
      world.server = Server::kPark;
      return true;
    case Server::kGiveUp:
      if (world.mutex != 0) return false;
      if (world.streams[0].over == 0) world.streams[0].cancelled = 1;
      world.server = has(Bug::kCancelEndsNothing) ? Server::kTop : Server::kEnd;
      return true;
    case Server::kEnd:
      if (world.mutex != 0) return false;
      world.server = Server::kTop;
      if (world.streams[0].over != 0) return true;
      world.streams[0].open = world.streams[0].rests = 0;
      sender.at = Send::kEnter;
      return true;
    default:
      return server_parks(world);
  }
}

bool Model::server_parks(World& world) {
  switch (world.server) {
    case Server::kPark:
      world.worker_park = next_odd(world.worker_park);
      world.server = Server::kCheck;
      return true;
    case Server::kCheck:
      world.server = world.submission_tail != world.submission_head ? Server::kUnpark : Server::kAsleep;
      if (world.server == Server::kAsleep && any_leaves(world)) world.senders[kServer].at = Send::kEnter;
      return true;
    case Server::kAsleep:
      if (world.doorbell == 0) return false;
      world.doorbell = 0;
      world.server = Server::kUnpark;
      return true;
    default:
      world.worker_park = static_cast<Byte>((world.worker_park | 1U) + 1U);
      world.server = Server::kTop;
      return true;
  }
}

const char* Model::fault_at_rest(const World& world) const {
  if (world.mutex != 0 || world.client_mutex != 0 || world.sending != 0) return "nobody is stuck inside";
  for (int stream = 0; stream < bounds_.streams; ++stream) {
    const bool cancelled = stream == 0 && world.submission_tail != 0;
    if ((world.ended & bit(stream)) != 0) continue;
    if (cancelled) return "a cancelled stream ends, read or not";
    if (stream != 0 || !bounds_.stuck) return "a stream that is read goes on to its end";
  }
  const int coming = static_cast<Byte>(world.release_tail - world.release_head);
  if (world.free + coming + world.held != bounds_.blocks) return "every block comes back";
  return nullptr;
}

World essence(World world) {
  const auto relate = [](Byte& remembered, Byte now) { remembered = remembered == now ? 1 : 0; };
  for (Sender& sender : world.senders) {
    if (sender.parked != 0) sender.parked = sender.parked == world.client_park ? 1 : 2;
    if (sender.at < Send::kWrite || sender.at > Send::kPark) sender.stream = sender.final = 0;
  }
  relate(world.woke_for, world.client_park);
  relate(world.rang_for, world.worker_park);
  world.client_park %= 2;
  world.worker_park %= 2;
  if (world.reader != Reader::kFutex) world.tail = 0;
  if (world.reader > Reader::kStarved || world.reader == Reader::kTop) world.took = 0;
  const auto waiting = static_cast<Byte>(world.completion_tail - world.completion_head);
  for (Byte i = waiting; i < kQueue; ++i) {
    world.entries[static_cast<Byte>(world.completion_head + i) % kQueue] = {};
  }
  const auto coming = static_cast<Byte>(world.release_tail - world.release_head);
  for (Byte i = coming; i < kQueue; ++i) world.releases[static_cast<Byte>(world.release_head + i) % kQueue] = 0;
  return world;
}

}  // namespace ringside::shm::stream_model
