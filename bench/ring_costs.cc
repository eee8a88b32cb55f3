#include "bench/ring_costs.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bench/contestants.h"
#include "bench/placement.h"
#include "bench/usage.h"

namespace ringside::bench {
namespace {

struct Wakeups {
  double doorbells = 0;
  double futex_wakes = 0;    // at most
  double worker_sleeps = 0;  // announced
  double switches = 0;       // voluntary, of all threads of both processes
};

/// By call, over one turn.
Wakeups wakeups_of(const Contestant& contestant, std::size_t batches) {
  take_turn(contestant, 1);
  const RingCounts before = ring_counts();
  const Turn turn = take_turn(contestant, batches);
  const RingCounts after = ring_counts();
  const auto calls = static_cast<double>(batches * contestant.batch);
  const auto by_call = [calls](std::uint64_t from, std::uint64_t to) { return static_cast<double>(to - from) / calls; };
  return {by_call(before.doorbells, after.doorbells), by_call(before.client_sleeps, after.client_sleeps),
          by_call(before.worker_sleeps, after.worker_sleeps), turn.sleeps};
}

}  // namespace

double wakeups_per_call(const House& house, std::size_t window, const Options& options, nlohmann::json& results) {
  const Load load{house.connect(DoorChoice::kRing), Work::kRuntime, 64, house.worker_pid()};
  const Contestant contestant = window_contestant(load, window, options.batch());
  double figure = 0;
  for (const Placement placement : {Placement::kFree, Placement::kSameCpu, Placement::kAcrossCpus}) {
    std::vector<double> rounds;
    Wakeups last;
    for (std::size_t round = 0; round < options.rounds(); ++round) {
      last = wakeups_of(placed(contestant, placement), options.batches());
      rounds.push_back(last.doorbells + last.futex_wakes);
    }
    const Spread spread = spread_of(rounds);
    std::printf(
        "  %-11s %.4f a call (rounds %.4f to %.4f); the last round: doorbells %.4f, futex wakes at most %.4f, worker "
        "sleeps announced %.4f, context switches of all threads of both sides %.4f\n",
        to_string(placement), spread.median, spread.lowest, spread.highest, last.doorbells, last.futex_wakes,
        last.worker_sleeps, last.switches);
    results["wakeups"].push_back({{"placement", to_string(placement)},
                                  {"window", window},
                                  {"per_call", {spread.median, spread.lowest, spread.highest}},
                                  {"context_switches", last.switches}});
    if (placement == Placement::kFree) figure = spread.median;
  }
  place(Placement::kFree, contestant.peers);
  return figure;
}

double idle_cpu_percent(int rings, const Options& options, nlohmann::json& results) {
  const House house({.rings = rings + 8, .segment_mib = 1});
  std::vector<std::shared_ptr<Client>> clients;
  for (int i = 0; i < rings; ++i) {
    ClientOptions client;
    client.runtime_dir = house.dir();
    client.door = DoorChoice::kRing;
    client.segment_bytes = 1 << 20;
    clients.push_back(connect(client));
  }
  const auto all_answer = [&] {
    for (const auto& client : clients) {
      take_turn(door_contestant({client, Work::kTransportEcho, 64, house.worker_pid()}), 1);
    }
  };
  all_answer();
  const std::chrono::seconds span(options.small ? 10 : 60);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const double before = cpu_seconds(house.worker_pid());
  std::this_thread::sleep_for(span);
  const double used = cpu_seconds(house.worker_pid()) - before;
  all_answer();
  const double percent = used / std::chrono::duration<double>(span).count() * 100;
  std::printf("  %d rings attached, idle for %d s: the worker used %.2f ms of CPU\n", rings,
              static_cast<int>(span.count()), used * 1000);
  results["idle"] = {{"rings", rings}, {"seconds", span.count()}, {"cpu_ms", used * 1000}};
  return percent;
}

}  // namespace ringside::bench
