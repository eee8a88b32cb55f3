#pragma once
// Measuring by rounds: two contestants take turns as A B B A, so that a machine's drift hits both alike, and a mark is
// judged on the median of the per-round ratios. One thread.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace ringside::bench {

/// One way of making a call. `prepare` and `check` are not timed; `call` is. `check` says whether the answer was right.
struct Contestant {
  std::string name;
  std::function<void()> prepare;  ///< chooses the next body, pauses until both sides sleep, …
  std::function<void()> call;
  std::function<bool()> check;
  std::function<void()> enter;  ///< before a turn: places processes on CPUs
};

/// Nanoseconds of each call of one turn, sorted. Ends the process with a message when an answer was wrong: a failed
/// call fails the mark.
std::vector<double> take_turn(const Contestant& contestant, std::size_t calls);

struct Spread {
  double median = 0;
  double lowest = 0;
  double highest = 0;
};
Spread spread_of(std::vector<double> values);

struct Duel {
  std::string baseline;
  std::string challenger;
  std::vector<double> baseline_p50_ns;  ///< one a round
  std::vector<double> challenger_p50_ns;
  Spread ratio;  ///< baseline / challenger: above 1, the challenger is faster
};
/// `rounds` rounds of A B B A after one to warm up, `calls` calls a turn.
Duel duel(const Contestant& baseline, const Contestant& challenger, std::size_t rounds, std::size_t calls);

/// The median of sorted values.
double median_of(const std::vector<double>& sorted);

}  // namespace ringside::bench
