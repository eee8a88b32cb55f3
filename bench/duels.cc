#include "bench/duels.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/echo_floors.h"
#include "bench/floors.h"

namespace ringside::bench {
namespace {

/// Where a ring is measured; its figure is the worst of them. Pinned both ways when its calls start asleep; hot across
/// CPUs only, since two cannot spin on one; free where the user's own settings count.
std::vector<Placement> placements_of(Mode mode) {
  if (mode == Mode::kHot) return {Placement::kAcrossCpus};
  if (mode == Mode::kDefault) return {Placement::kFree};
  return {Placement::kSameCpu, Placement::kAcrossCpus};
}

nlohmann::json showing_json(const Placed& placed, const Showing& showing) {
  return {{"name", placed.contestant.name},
          {"placement", to_string(placed.placement)},
          {"p50_us", spread_of(showing.p50_ns).median / 1000},
          {"cpu_us", spread_of(showing.cpu_us).median}};
}

void print_side(const Placed& placed, const Showing& showing) {
  std::printf("%s (%s) %.2f us, CPU %.2f us; ", placed.contestant.name.c_str(), to_string(placed.placement),
              spread_of(showing.p50_ns).median / 1000, spread_of(showing.cpu_us).median);
}

}  // namespace

Duel Duels::run(const Placed& baseline, const Placed& challenger, std::size_t calls) {
  Duel result = duel(placed(baseline.contestant, baseline.placement),
                     placed(challenger.contestant, challenger.placement), options_.rounds(), calls);
  std::printf("  ");
  print_side(challenger, result.challenger);
  print_side(baseline, result.baseline);
  const bool faster = result.speedup.median >= 1;
  const Spread& ratio = faster ? result.speedup : result.cost;
  std::printf("%.2f times as %s (rounds %.2f to %.2f)\n", ratio.median, faster ? "fast" : "long", ratio.lowest,
              ratio.highest);
  results_["duels"].push_back({{"baseline", showing_json(baseline, result.baseline)},
                               {"challenger", showing_json(challenger, result.challenger)},
                               {"speedup", {result.speedup.median, result.speedup.lowest, result.speedup.highest}},
                               {"cost", {result.cost.median, result.cost.lowest, result.cost.highest}}});
  place(Placement::kFree, baseline.contestant.peers);
  place(Placement::kFree, challenger.contestant.peers);
  return result;
}

Contestant Duels::ring(Work work, Mode mode, std::size_t bytes) {
  House& house = houses_.of(mode);
  Contestant contestant = door_contestant({house.connect(DoorChoice::kRing, mode), work, bytes, house.worker_pid()});
  contestant.name += std::string(", ") + to_string(mode);
  return mode == Mode::kParked ? parked(std::move(contestant)) : contestant;
}

double Duels::against(const Placed& baseline, Work work, Mode mode, std::size_t bytes) {
  double figure = 0;
  for (const Placement placement : placements_of(mode)) {
    const double speedup = run(baseline, {ring(work, mode, bytes), placement}, options_.calls(bytes)).speedup.median;
    // Asleep on one CPU is where a wake-up costs least, on this machine a tenth; across CPUs is shown beside it.
    if (mode == Mode::kParked && placement != Placement::kSameCpu) continue;
    figure = figure == 0 ? speedup : std::min(figure, speedup);
  }
  return figure;
}

double Duels::ring_vs_grpc(Work work, Mode mode, std::size_t bytes) {
  // One gRPC baseline for all modes: gRPC has no spinning, and only parked calls have a pause before them.
  const House& plain = houses_.of(Mode::kDefault);
  return against(grpc_baseline(plain, work, mode == Mode::kParked, bytes, options_), work, mode, bytes);
}

double Duels::ring_vs_raw(Mode mode, std::size_t bytes) {
  const std::size_t calls = options_.calls(bytes);
  const auto against_raw = [&](Contestant raw) {
    if (mode == Mode::kParked) raw = parked(std::move(raw));
    return against(at_its_best(std::move(raw), calls), Work::kTransportEcho, mode, bytes);
  };
  // Beside a ring that spins, a raw socket that spins is shown; the mark is about the raw socket echo as all know it.
  if (mode == Mode::kHot) against_raw(raw_socket_echo(bytes, true));
  return against_raw(raw_socket_echo(bytes));
}

double Duels::ring_vs_wakeups(Work work, Placement placement) {
  constexpr std::size_t kBytes = 64;
  const Placed floor{parked(ring_ping_pong()), placement};
  return run(floor, {ring(work, Mode::kParked, kBytes), placement}, options_.calls(kBytes)).cost.median;
}

double Duels::handle_vs_few(Work work, std::size_t bytes, std::size_t few) {
  House& house = houses_.of(Mode::kDefault);
  const auto handle = [&](std::size_t size) {
    Contestant contestant = door_contestant({house.connect(DoorChoice::kHandle), work, size, house.worker_pid()});
    contestant.name += ", " + std::string(to_string(work)) + ", " + std::to_string(size) + " B";
    return contestant;
  };
  const Placed small = at_its_best(handle(few), options_.calls(few));
  return run(small, {handle(bytes), small.placement}, options_.calls(bytes)).cost.median;
}

}  // namespace ringside::bench
