#pragma once
// What the supervisor decides about its workers, as a pure function: step(state, event, now) changes the state and says
// what to do. No system call, no clock and no randomness but those handed in, so that a test can own all three.
//
// clang-format off
// phase        ready  exited       spawn failed  link closed  link broken   deadline         stop          stop at once
// backing off  -      -            -             -            -             starting, spawn  stopped       stopped
// starting     ready  backing off  backing off   ending       ending, kill  ending, kill     ending, kill  ending, kill
// ready        -      backing off  -             ending       ending, kill  -                draining      ending, kill
// draining     -      stopped      -             -            ending, kill  ending, kill     -             ending, kill
// ending       -      backing off  -             -            kill          kill             -             kill
// stopped      -      -            -             -            -             -                -             -
// clang-format on
//
// While the pool stops, "backing off" above is "stopped". Backing off after the first failure in a row takes no time. A
// closed link is most often a process that is about to end; killing it at once would hide how it would have ended.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace ringside::supervisor {

enum class Phase : std::uint8_t {
  kBackingOff,  ///< no process; the next one starts when the deadline passes
  kStarting,    ///< a process that has not opened its doors yet; killed at the deadline
  kReady,
  kDraining,  ///< told to finish; killed at the deadline
  kEnding,    ///< has closed its link or was killed, and is not gone yet; killed at the deadline
  kStopped,   ///< no process, and none will be started
};
[[nodiscard]] std::string_view to_string(Phase phase);

struct PolicyOptions {
  Duration start_limit = std::chrono::seconds(10);         ///< from spawn to ready
  Duration drain_within = std::chrono::seconds(5);         ///< what a worker is given to finish
  Duration drain_grace = std::chrono::seconds(1);          ///< on top, before it is killed
  Duration end_within = std::chrono::seconds(1);           ///< after a worker closed its link
  Duration backoff_first = std::chrono::milliseconds(50);  ///< after the second failure in a row; doubles with each
  Duration backoff_most = std::chrono::seconds(10);
  Duration forgiven_after = std::chrono::seconds(1);  ///< a worker ready for so long has no failures behind it
};

/// How a process ended.
struct Exit {
  bool by_signal = false;
  int number = 0;  ///< of the signal, or the exit code
};
[[nodiscard]] std::string to_string(const Exit& exit);

struct SlotState {
  Phase phase = Phase::kBackingOff;
  SteadyTime deadline = SteadyTime::min();  ///< of the phase; SteadyTime::max(): none
  std::optional<SteadyTime> ready_since;    ///< of the process there is
  std::uint32_t failures = 0;               ///< in a row
  std::uint64_t starts = 0;
};

struct PolicyState {
  PolicyState(PolicyOptions chosen, std::size_t workers, std::uint64_t seed)
      : options(chosen), slots(workers), random(seed) {}

  PolicyOptions options;
  std::vector<SlotState> slots;
  std::uint64_t random;  ///< of splitmix64; for the jitter of back-offs
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
/// Look whose deadline has passed.
struct Deadline {};
struct Stop {};
struct StopAtOnce {};
}  // namespace event
using Event = std::variant<event::Ready, event::Exited, event::SpawnFailed, event::LinkClosed, event::LinkBroken,
                           event::Deadline, event::Stop, event::StopAtOnce>;

namespace action {
struct Spawn {
  std::size_t slot;
};
struct Kill {
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
  Duration in{0};  ///< until the next start, when backing off
};
struct Finish {};  ///< every worker is gone and none will come
}  // namespace action
using Action = std::variant<action::Spawn, action::Kill, action::Drain, action::Announce, action::Finish>;

/// An event for a slot that does not exist is a bug. A new pool starts with event::Deadline.
[[nodiscard]] std::vector<Action> step(PolicyState& state, const Event& event, SteadyTime now);

/// When event::Deadline is due next; SteadyTime::max(): never.
[[nodiscard]] SteadyTime next_deadline(const PolicyState& state);

}  // namespace ringside::supervisor
