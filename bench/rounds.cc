#include "bench/rounds.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace ringside::bench {
namespace {

using Clock = std::chrono::steady_clock;

void append(std::vector<double>& all, std::vector<double> some) { all.insert(all.end(), some.begin(), some.end()); }

double p50_of_two(std::vector<double> first, std::vector<double> second) {
  append(first, std::move(second));
  std::sort(first.begin(), first.end());
  return median_of(first);
}

}  // namespace

double median_of(const std::vector<double>& sorted) { return sorted.empty() ? 0 : sorted[sorted.size() / 2]; }

std::vector<double> take_turn(const Contestant& contestant, std::size_t calls) {
  if (contestant.enter) contestant.enter();
  std::vector<double> times;
  times.reserve(calls);
  for (std::size_t i = 0; i < calls; ++i) {
    if (contestant.prepare) contestant.prepare();
    const auto start = Clock::now();
    contestant.call();
    const auto end = Clock::now();
    if (contestant.check && !contestant.check()) {
      std::fprintf(stderr, "bench: %s gave a wrong answer, so nothing it measures counts\n", contestant.name.c_str());
      std::exit(1);  // NOLINT(concurrency-mt-unsafe): nothing is worth unwinding
    }
    times.push_back(std::chrono::duration<double, std::nano>(end - start).count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {median_of(values), values.front(), values.back()};
}

Duel duel(const Contestant& baseline, const Contestant& challenger, std::size_t rounds, std::size_t calls) {
  Duel duel{baseline.name, challenger.name, {}, {}, {}};
  take_turn(baseline, calls);
  take_turn(challenger, calls);
  std::vector<double> ratios;
  for (std::size_t round = 0; round < rounds; ++round) {
    auto a = take_turn(baseline, calls);
    auto b = take_turn(challenger, calls);
    auto b_again = take_turn(challenger, calls);
    auto a_again = take_turn(baseline, calls);
    duel.baseline_p50_ns.push_back(p50_of_two(std::move(a), std::move(a_again)));
    duel.challenger_p50_ns.push_back(p50_of_two(std::move(b), std::move(b_again)));
    ratios.push_back(duel.baseline_p50_ns.back() / duel.challenger_p50_ns.back());
  }
  duel.ratio = spread_of(std::move(ratios));
  return duel;
}

}  // namespace ringside::bench
