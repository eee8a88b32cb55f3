#pragma once
// A model of a ring: the words of shm/layout.h that the two sides race on, and both sides as machines that do one
// atomic access at a time. A scheduler may interleave them as it likes, sequentially consistent, as the code asks of
// the accesses that matter. Small integers everywhere, so that a whole world can be hashed and compared as bytes.
//
// Client: a publisher and a waiter that share a mutex, and a waker that sees the worker's death. Worker: a server that
// takes and an answerer that completes. Death takes the worker away at any moment; the waiter then attaches another.

#include <cstdint>
#include <cstring>

namespace ringside::shm::model {

inline constexpr int kMostSlots = 3;
inline constexpr int kMostCalls = 7;  // a set of calls is the bits of a byte; sequences start at 1
inline constexpr int kQueue = 8;
inline constexpr std::uint8_t kStart = 254;  // counters wrap on the way

struct Bounds {
  int calls = 2;
  int slots = 2;
  int cancels = 0;  // of the first calls, each some time after it was made and before the next one is
  int deaths = 0;
};

/// What can be done wrong, to see that it is found.
enum class Bug : std::uint8_t {
  kNone,
  kWorkerLooksBeforeItParks,
  kClientSleepsOnWhateverItFinds,       // and not on the tail that it looked at
  kClientPeeksAtParkBeforeItPublishes,  // what a plain store with a later load would allow
  kWorkerPeeksAtParkBeforeItPublishes,
  kWorkerSleepsUnderTheSameNumber,
  kClientSleepsUnderTheSameNumber,
  kServedBeforeTheJournal,
  kCancelForgetsRetry,
  kCancelledSlotIsUsedAtOnce,
  kSuccessorStartsAtZero,
  kRungValueOutlivesItsWorker,
  kWakesOnce,
  kEarlyWakeCounts,  // a FUTEX_WAKE that found nobody asleep
  kRepublishesWhatWasAnswered,
};

enum class Use : std::uint8_t { kFree, kPublished, kCancelled };
enum class Publisher : std::uint8_t { kIdle, kEntry, kTail, kPark, kUnlock, kRing };
enum class Waiter : std::uint8_t {
  kTop,
  kLock,
  kLoad,
  kEntry,
  kHead,
  kRelease,
  kWaitBegin,
  kWaitLook,
  kPark,
  kCheck,
  kAsked,
  kFutex,
  kAsleep,
  kUnpark,
  kWaitEnd,
  kDetach,
  kAttach,
  kJoin,
  kAgainFlags,
  kAgainEntry,
  kAgainTail,
  kAgainPark,
  kRing,
};
enum class Waker : std::uint8_t { kIdle, kAsk, kLook, kDone };
enum class Server : std::uint8_t {
  kTop,
  kEntry,
  kSlot,
  kTaken,
  kHead,
  kEffect,
  kSettle,
  kPark,
  kCheck,
  kAsleep,
  kUnpark
};
enum class Answerer : std::uint8_t { kIdle, kTail, kPark, kWake };

inline constexpr std::uint8_t kRetry = 1;
inline constexpr std::uint8_t kCancel = 2;

struct World {
  using Byte = std::uint8_t;
  // The client's words.
  Byte submission_tail = kStart;
  Byte completion_head = kStart;
  Byte client_park = 0;
  Byte release_tail = kStart;
  Byte submissions[kQueue] = {};
  struct Slot {
    Byte sequence, flags;
  } slots[kMostSlots] = {};
  // The worker's words.
  Byte completion_tail = kStart;
  Byte submission_head = kStart;
  Byte worker_park = 0;
  Byte taken[kMostSlots] = {};
  struct Completion {
    Byte slot, sequence;
  } completions[kQueue] = {};
  // The kernel's.
  Byte doorbell = 0;
  Byte asleep = 0;  // the waiter, in FUTEX_WAIT
  Byte alive = 1;
  // The client's own memory.
  struct SlotUse {
    Use use;
    Byte sequence, cancel_sent, cancel_position, retry;
  } uses[kMostSlots] = {};
  Byte mutex = 0;
  Byte detached = 0;
  Byte generation = 1;
  Byte rang_for = 0;
  Byte seen = kStart;
  Byte waiting = 0;
  Byte wake_asked = 0;
  Byte gone = 0;
  Publisher publisher = Publisher::kIdle;
  Byte made = 0;
  Byte cancels = 0;
  Byte published_slot = 0;
  Byte cancelling = 0;
  Byte bell = 0;  // the publisher's: the generation to ring; 0: none
  Waiter waiter = Waiter::kTop;
  Byte leaving = 0;
  Byte tail = 0;
  Byte again = 0;  // the sequence published again last
  Byte again_slot = 0;
  Byte again_bell = 0;  // the waiter's
  Waker waker = Waker::kIdle;
  // The worker's own memory.
  Server server = Server::kTop;
  Byte tail_seen = kStart;
  Byte slot = 0;
  Byte flags = 0;
  Byte is_call = 0;
  Byte last_taken[kMostSlots] = {};
  Byte cancelled = 0;  // a bit a slot
  Byte under_way = 0;
  Byte held = 0;
  Byte release_head = kStart;
  Byte runs_lent = 0;
  Answerer answerer = Answerer::kIdle;
  Byte woke_for = 0;
  Byte parked = 0;  // the number to wake the waiter under; 0: it is awake
  // The auditor's: a bit a call.
  Byte ran = 0;
  Byte journaled = 0;  // by a worker that is dead
  Byte answered = 0;
  Byte dropped = 0;
  Byte deaths = 0;
};
static_assert(sizeof(World) < 192 && alignof(World) == 1, "no padding, so equal worlds are equal bytes");

enum class Agent : std::uint8_t { kPublisher, kWaiter, kWaker, kServer, kAnswerer0, kAnswerer1, kAnswerer2, kDeath };
inline constexpr int kAgents = 8;

class Model {
 public:
  explicit Model(Bounds bounds, Bug bug = Bug::kNone) : bounds_(bounds), bug_(bug) {}

  /// One step of `agent`, if it can do one. After it fault() may name the promise that does not hold.
  bool step(World& world, Agent agent);
  bool step(World& world, int agent) { return step(world, static_cast<Agent>(agent)); }
  /// What is wrong with a world in which nobody can do a step; null: everything is done.
  [[nodiscard]] const char* fault_at_rest(const World& world) const;
  [[nodiscard]] const char* fault() const { return fault_; }

 private:
  bool publisher(World& world);
  bool start_call(World& world);
  bool start_cancel(World& world);
  bool waiter(World& world);
  bool waiter_polls(World& world);
  bool waiter_waits(World& world);
  bool waiter_attaches(World& world);
  void collect(World& world);
  void detach(World& world);
  void attach(World& world) const;
  bool waker(World& world);
  bool server(World& world);
  bool server_parks(World& world);
  void read_slot(World& world);
  void run_call(World& world);
  bool answerer(World& world, int slot);
  [[nodiscard]] bool has(Bug bug) const { return bug_ == bug; }
  void broken(const char* promise) { fault_ = promise; }

  const Bounds bounds_;
  const Bug bug_;
  const char* fault_ = nullptr;
};

inline std::uint8_t bit(int index) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(index)); }
inline void set(std::uint8_t& bits, std::uint8_t which) { bits = static_cast<std::uint8_t>(bits | which); }
inline void clear(std::uint8_t& bits, std::uint8_t which) {
  bits = static_cast<std::uint8_t>(bits & static_cast<std::uint8_t>(~which));
}
/// A sleeper's next odd number.
inline std::uint8_t next_odd(std::uint8_t park) { return static_cast<std::uint8_t>((park + 1U) | 1U); }
inline bool passed(const World& world, std::uint8_t position) {
  return static_cast<std::int8_t>(world.submission_head - position) >= 0;
}

}  // namespace ringside::shm::model
