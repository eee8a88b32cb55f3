#pragma once
// What the supervisor decides about its workers, as a pure function: step(state, event, now) changes the state and says
// what to do. No system call, no clock and no randomness but those handed in, so that a test can own all three.
//
// A worker is known by its *place*, 0 … wanted-1, which it keeps from one process to the next. A *slot* is one
// process's life; a place has one slot, and two while a new process relieves an old one: the new one is ready before
// the old one drains, and only one relief is being started at a time. Slots that are stopped are used again.
//
// clang-format off
// phase        ready  exited       spawn failed  link closed  link broken   deadline         stop          stop at once
// backing off  -      -            -             -            -             starting, spawn  stopped       stopped
// starting     ready  backing off  backing off   ending       ending, kill  ending, kill     ending, kill  ending, kill
// ready        -      backing off  -             ending       ending, kill  ending, abort    draining      ending, kill
// draining     -      stopped      -             -            ending, kill  ending, kill     -             ending, kill
// ending       -      backing off  -             -            kill          kill             -             kill
// stopped      -      -            -             -            -             -                -             -
// clang-format on
//
// While the pool stops, and for a slot that was relieved or is wanted no more, "backing off" above is "stopped".
// Backing off after the first failure in a row takes no time; after `breaker_after` of them the place's circuit is
// broken: it is tried once in a `breaker_pause`, as long as another worker serves. A closed link is most often a
// process that is about to end; killing it at once would hide how it would have ended.
//
// Stuck is not busy. A worker's heartbeat tells how often all of its loops have turned (its progress), and no number of
// calls under way keeps a loop from turning. One whose progress stands still for `stuck_within` is suspected, since its
// heartbeats may only wait to be read, and after `stuck_grace` more it is aborted, which leaves a core to look into.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace ringside::supervisor {

enum class Phase : std::uint8_t {
  kBackingOff,  ///< no process; the next one starts when the deadline passes
  kStarting,    ///< a process that has not opened its doors yet; killed at the deadline
  kReady,       ///< aborted when its progress stands still until the deadline
  kDraining,    ///< told to finish; killed at the deadline
  kEnding,      ///< has closed its link or was killed, and is not gone yet; killed at the deadline
  kStopped,     ///< no process, and none will be started; the slot is free
};
[[nodiscard]] std::string_view to_string(Phase phase);

struct PolicyOptions {
  Duration start_limit = std::chrono::seconds(10);         ///< from spawn to ready
  Duration drain_within = std::chrono::seconds(5);         ///< what a worker is given to finish
  Duration drain_grace = std::chrono::seconds(1);          ///< on top, before it is killed
  Duration end_within = std::chrono::seconds(1);           ///< after a worker closed its link
  Duration stuck_within = std::chrono::seconds(10);        ///< without progress
  Duration stuck_grace = std::chrono::seconds(1);          ///< on top
  Duration core_within = std::chrono::seconds(5);          ///< what an aborted worker is given to write its core
  Duration backoff_first = std::chrono::milliseconds(50);  ///< after the second failure in a row; doubles with each
  Duration backoff_most = std::chrono::seconds(10);
  Duration forgiven_after = std::chrono::seconds(5);  ///< a worker ready for so long has no failures behind it
  std::uint32_t breaker_after = 8;                    ///< failures in a row that break a place's circuit
  Duration breaker_pause = std::chrono::seconds(30);  ///< between tries while it is broken
  std::uint64_t recycle_calls = 0;                    ///< a worker that served so many is relieved; 0: never
  std::uint64_t recycle_rss_bytes = 0;                ///< the same by its memory. Both are cut by up to a quarter.
};

/// How a process ended.
struct Exit {
  bool by_signal = false;
  int number = 0;     ///< of the signal, or the exit code
  bool core = false;  ///< the kernel says that it dumped one
};
[[nodiscard]] std::string to_string(const Exit& exit);

/// Why a worker that is fine is relieved.
enum class Wear : std::uint8_t {
  kNone,
  kUsed,   ///< served or grown enough; waits until nobody drains
  kAsked,  ///< an operator said so
};

struct SlotState {
  Phase phase = Phase::kBackingOff;
  SteadyTime deadline = SteadyTime::min();  ///< of the phase; SteadyTime::max(): none
  std::optional<SteadyTime> ready_since;    ///< of the process there is
  std::uint32_t failures = 0;               ///< in a row
  std::uint32_t place = 0;
  std::uint64_t generation = 0;         ///< of the configuration it was started with
  std::optional<std::size_t> relieves;  ///< the slot that drains once this one is ready
  bool leaving = false;                 ///< its end is wanted, and nobody is started after it
  bool planned = false;                 ///< its end is wanted, and is no failure
  bool suspected = false;               ///< of being stuck
  Wear wear = Wear::kNone;
  std::uint64_t progress = 0;
  std::uint64_t calls_limit = 0;  ///< recycle_calls with its jitter; 0: none
  std::uint64_t rss_limit = 0;
};

struct PolicyState {
  PolicyState(PolicyOptions chosen, std::size_t workers, std::uint64_t seed);

  PolicyOptions options;
  std::vector<SlotState> slots;
  std::size_t wanted;                             ///< how many workers
  std::map<std::uint32_t, std::uint64_t> starts;  ///< of processes, by place, whoever is there now
  std::set<std::uint32_t> held;                   ///< places that an operator has drained: nobody is started there
  std::uint64_t generation = 1;                   ///< slots of an older one are relieved
  std::uint64_t random;                           ///< of splitmix64; for every jitter
  bool stopping = false;
  bool finished = false;
};

namespace event {
struct Ready {
  std::size_t slot;
};
struct Exited {
  std::size_t slot;
  Exit exit;
};
struct SpawnFailed {
  std::size_t slot;
};
struct LinkClosed {
  std::size_t slot;
};
/// What came over it was no message of a worker.
struct LinkBroken {
  std::size_t slot;
};
/// What a worker says of itself.
struct Heartbeat {
  std::size_t slot;
  std::uint64_t progress;
  std::uint64_t calls;
  std::uint64_t rss_bytes;
};
/// Look whose deadline has passed.
struct Deadline {};
/// So many workers from now on, at least one.
struct Resize {
  std::size_t workers;
};
/// There is a new configuration: every worker is relieved, and there are so many from now on.
struct Renew {
  PolicyOptions options;
  std::size_t workers;
};
/// An operator wants a new process in this place, and the circuit closed.
struct Restart {
  std::uint32_t place;
};
/// An operator wants nobody in this place, until Restart.
struct Retire {
  std::uint32_t place;
};
struct Stop {};
struct StopAtOnce {};
}  // namespace event
using Event = std::variant<event::Ready, event::Exited, event::SpawnFailed, event::LinkClosed, event::LinkBroken,
                           event::Heartbeat, event::Deadline, event::Resize, event::Renew, event::Restart,
                           event::Retire, event::Stop, event::StopAtOnce>;

namespace action {
/// For a slot that may be one more than there were.
struct Spawn {
  std::size_t slot;
};
struct Kill {
  std::size_t slot;
};
/// The same, with a core.
struct Abort {
  std::size_t slot;
};
struct Drain {
  std::size_t slot;
  Duration within;
};
/// A transition, for the log. `why` is a literal.
struct Announce {
  std::size_t slot;
  Phase from;
  Phase to;
  std::string_view why;
  std::optional<Exit> exit;
  Duration in{0};         ///< until the next start, when backing off
  bool expected = false;  ///< nothing that anybody should look at
};
struct Finish {};  ///< every worker is gone and none will come
}  // namespace action
using Action =
    std::variant<action::Spawn, action::Kill, action::Abort, action::Drain, action::Announce, action::Finish>;

/// An event for a slot that does not exist is a bug. A new pool starts with event::Deadline.
[[nodiscard]] std::vector<Action> step(PolicyState& state, const Event& event, SteadyTime now);

/// When event::Deadline is due next; SteadyTime::max(): never.
[[nodiscard]] SteadyTime next_deadline(const PolicyState& state);

/// The slot that serves in a place, or will; not one that relieves it, nor one that leaves.
[[nodiscard]] std::optional<std::size_t> incumbent(const PolicyState& state, std::uint32_t place);
/// Its place's circuit is broken.
[[nodiscard]] bool broken(const PolicyState& state, const SlotState& slot);
/// Every worker is of the newest configuration and ready, as far as anybody is wanted.
[[nodiscard]] bool renewed(const PolicyState& state);

}  // namespace ringside::supervisor
