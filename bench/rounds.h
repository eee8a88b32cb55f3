#pragma once
// Measuring by rounds: two contestants take turns as A B B A, so that a machine's drift hits both alike, and a mark is
// judged on the median of the per-round ratios. One thread.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace ringside::bench {

/// One way of making a call. `prepare` and `check` are not timed; `call` is. `check` says whether the answer was right.
struct Contestant {
  std::string name = {};
  std::function<void()> prepare = {};  ///< chooses the next body, pauses until both sides sleep, …
  std::function<void()> call = {};
  std::function<bool()> check = {};
  std::function<void()> enter = {};  ///< before a turn: places processes on CPUs
  std::vector<pid_t> peers = {};     ///< the processes that serve it; their CPU time counts as its own
  std::size_t batch = 1;             ///< how many calls one `call` makes
};

/// What a turn showed, by call.
struct Turn {
  std::vector<double> ns;  ///< sorted
  double cpu_us = 0;       ///< of this process while it called, and of the peers all the time
  double sleeps = 0;       ///< how often a thread of either side fell asleep
};

/// Takes a turn. Gives up (GiveUp) when an answer was wrong: a failed call fails the mark.
Turn take_turn(const Contestant& contestant, std::size_t calls);

struct Spread {
  double median = 0;
  double lowest = 0;
  double highest = 0;
};
Spread spread_of(std::vector<double> values);

/// One contestant's medians, one a round.
struct Showing {
  std::vector<double> p50_ns;
  std::vector<double> cpu_us;
};

struct Duel {
  Showing baseline;
  Showing challenger;
  Spread speedup;  ///< baseline / challenger by round: above 1, the challenger is faster
  Spread cost;     ///< challenger / baseline by round
};
/// `rounds` rounds of A B B A after one to warm up, `calls` calls a turn.
Duel duel(const Contestant& baseline, const Contestant& challenger, std::size_t rounds, std::size_t calls);

/// The median of sorted values.
double median_of(const std::vector<double>& sorted);

}  // namespace ringside::bench
