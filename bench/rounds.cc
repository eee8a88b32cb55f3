#include "bench/rounds.h"

#include <algorithm>
#include <utility>

#include "bench/options.h"
#include "bench/usage.h"

namespace ringside::bench {
namespace {

using Clock = std::chrono::steady_clock;

template <typename Of>
auto sum(const std::vector<pid_t>& processes, Of of) {
  decltype(of(0)) total{};
  for (const pid_t pid : processes) total += of(pid);
  return total;
}

double mean(double a, double b) { return (a + b) / 2; }

void add_round(Showing& showing, Turn first, Turn second) {
  first.ns.insert(first.ns.end(), second.ns.begin(), second.ns.end());
  std::sort(first.ns.begin(), first.ns.end());
  showing.p50_ns.push_back(median_of(first.ns));
  showing.cpu_us.push_back(mean(first.cpu_us, second.cpu_us));
}

}  // namespace

double median_of(const std::vector<double>& sorted) {
  if (sorted.empty()) return 0;
  const std::size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : mean(sorted[middle - 1], sorted[middle]);
}

Turn take_turn(const Contestant& contestant, std::size_t calls) {
  if (contestant.enter) contestant.enter();
  Turn turn;
  turn.ns.reserve(calls);
  double own_cpu = 0;
  const std::uint64_t sleeps_before = sum(contestant.peers, sleeps_of) + sleeps_of(0);
  // Last before the calls and first behind them: looking around takes its time, and a peer may spin meanwhile.
  const double peers_cpu_before = sum(contestant.peers, cpu_seconds);
  for (std::size_t i = 0; i < calls; ++i) {
    if (contestant.prepare) contestant.prepare();
    const double cpu_before = cpu_seconds(0);
    const auto start = Clock::now();
    contestant.call();
    const auto end = Clock::now();
    own_cpu += cpu_seconds(0) - cpu_before;
    if (contestant.check && !contestant.check()) {
      throw GiveUp(contestant.name + " gave a wrong answer, or by another way, so nothing it measures counts");
    }
    turn.ns.push_back(std::chrono::duration<double, std::nano>(end - start).count() /
                      static_cast<double>(contestant.batch));
  }
  const double peers_cpu = sum(contestant.peers, cpu_seconds) - peers_cpu_before;
  const std::uint64_t sleeps = sum(contestant.peers, sleeps_of) + sleeps_of(0) - sleeps_before;
  const auto made = static_cast<double>(calls * contestant.batch);
  turn.cpu_us = (own_cpu + peers_cpu) * 1e6 / made;
  turn.sleeps = static_cast<double>(sleeps) / made;
  std::sort(turn.ns.begin(), turn.ns.end());
  return turn;
}

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {median_of(values), values.front(), values.back()};
}

Duel duel(const Contestant& baseline, const Contestant& challenger, std::size_t rounds, std::size_t calls) {
  Duel duel;
  take_turn(baseline, calls);
  take_turn(challenger, calls);
  std::vector<double> speedups;
  std::vector<double> costs;
  for (std::size_t round = 0; round < rounds; ++round) {
    Turn a = take_turn(baseline, calls);
    Turn b = take_turn(challenger, calls);
    Turn b_again = take_turn(challenger, calls);
    Turn a_again = take_turn(baseline, calls);
    add_round(duel.baseline, std::move(a), std::move(a_again));
    add_round(duel.challenger, std::move(b), std::move(b_again));
    speedups.push_back(duel.baseline.p50_ns.back() / duel.challenger.p50_ns.back());
    costs.push_back(1 / speedups.back());
  }
  duel.speedup = spread_of(std::move(speedups));
  duel.cost = spread_of(std::move(costs));
  return duel;
}

}  // namespace ringside::bench
