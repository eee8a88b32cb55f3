#pragma once
// Who waits for room in a ring, and whose turn it is: the first who came looks for room first, whenever a call has
// ended, and nobody behind it before it has some. Who comes while others wait queues behind them, except that a bounded
// number may pass: what they send is perhaps small enough for the room there is, which the first cannot use. Private to
// the library; its owner's mutex guards it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

#include "base/clock.h"

namespace ringside {

class RingTurns {
 public:
  /// So many may pass whoever is first in line.
  static constexpr std::uint32_t kMostPassing = 64;

  /// One caller's place in the line, from when it first waits until it leaves.
  struct Turn {
    std::uint64_t ticket = 0;  ///< 0: not in the line
    std::uint64_t seen = 0;    ///< how many calls had ended when it looked for room last …
    bool looked = false;       ///< … if it did
  };

  /// Whether somebody is in the line. One relaxed load; any thread, without the mutex.
  [[nodiscard]] bool anybody() const { return waiting_.load(std::memory_order_relaxed) != 0; }
  /// Whether `turn` may look for room: it is the first, or may pass.
  [[nodiscard]] bool may_look(const Turn& turn);
  /// Takes a place in the line, unless it has one.
  void enter(Turn& turn);
  [[nodiscard]] bool is_first(const Turn& turn) const { return line_.begin()->first == turn.ticket; }
  /// `called` runs once: at its turn, at call_all(), or at the first expire() after `deadline`. Empty: not any more.
  void wait(const Turn& turn, SteadyTime deadline, std::function<void()> called);
  /// Gives its place up; the next one's turn.
  void leave(Turn& turn);

  /// Calls the first in line, if it waits.
  void call_first();
  void call_all();
  void expire(SteadyTime time);
  [[nodiscard]] SteadyTime next_deadline() const;

 private:
  struct Place {
    SteadyTime deadline = SteadyTime::max();
    std::function<void()> called;  // empty: it has been called, and looks for room
  };
  std::map<std::uint64_t, Place> line_;  // by ticket
  std::atomic<std::size_t> waiting_{0};  // line_.size()
  std::uint64_t next_ticket_ = 1;
  std::uint32_t passed_ = 0;  // the first in line
};

}  // namespace ringside
