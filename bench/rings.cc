#include "bench/rings.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/duels.h"
#include "bench/marks.h"
#include "bench/reattach.h"
#include "bench/ring_costs.h"

namespace ringside::bench {
namespace {

constexpr std::size_t kPing = 64;
constexpr std::size_t kMiB = 1 << 20;

/// Calls a second with 64 under way, against the most that gRPC reaches in any way; free, as a user has it. The pinned
/// ones are shown.
double window_vs_grpc(Duels& duels, std::size_t window) {
  const Options& options = duels.options();
  const House& house = duels.houses().of(Mode::kDefault);
  const Placed grpc = grpc_rate_baseline(house, kPing, options);
  const Load load{house.connect(DoorChoice::kRing), Work::kRuntime, kPing, house.worker_pid()};
  const Contestant ring = window_contestant(load, window, options.batch());
  duels.run(grpc, {ring, Placement::kSameCpu}, options.batches());
  duels.run(grpc, {ring, Placement::kAcrossCpus}, options.batches());
  return duels.run(grpc, {ring, Placement::kFree}, options.batches()).speedup.median;
}

/// Judged across CPUs, where it is better defined; both are shown.
double parked_echo(Duels& duels) {
  duels.ring_vs_wakeups(Work::kTransportEcho, Placement::kSameCpu);
  return duels.ring_vs_wakeups(Work::kTransportEcho, Placement::kAcrossCpus);
}

/// Judged with the echo tool, which makes one string of its arguments: most of the time is the tool's, at both doors.
/// So the same values with a tiny answer are shown.
double small_values(Duels& duels) {
  duels.ring_vs_grpc(Work::kSmallValuesIn, Mode::kDefault, kMiB);
  return duels.ring_vs_grpc(Work::kSmallValues, Mode::kDefault, kMiB);
}

/// 1 MiB in by handle, a tiny answer. Judged on a path that the runtime refuses without reading the body, which is the
/// transport alone; the sleep tool, which reads it, is shown.
double handle_one_way(Duels& duels) {
  duels.handle_vs_few(Work::kSleepTool, kMiB, kPing);
  return duels.handle_vs_few(Work::kTinyAnswer, kMiB, 0);
}

std::vector<Measurement> measurements(Duels& duels, nlohmann::json& results) {
  const Options& options = duels.options();
  return {
      {"hot_ping", [&] { return duels.ring_vs_grpc(Work::kRuntime, Mode::kHot, kPing); }},
      {"parked_ping_same_cpu", [&] { return duels.ring_vs_wakeups(Work::kRuntime, Placement::kSameCpu); }},
      {"parked_ping_across", [&] { return duels.ring_vs_wakeups(Work::kRuntime, Placement::kAcrossCpus); }},
      {"parked_echo", [&] { return parked_echo(duels); }},
      {"window_64", [&] { return window_vs_grpc(duels, 64); }},
      {"wakeups_64", [&] { return wakeups_per_call(duels.houses().of(Mode::kParked), 64, options, results); }},
      {"mib_parked_grpc", [&] { return duels.ring_vs_grpc(Work::kTransportEcho, Mode::kParked, kMiB); }},
      {"mib_parked_raw", [&] { return duels.ring_vs_raw(Mode::kParked, kMiB); }},
      {"mib_hot_grpc", [&] { return duels.ring_vs_grpc(Work::kTransportEcho, Mode::kHot, kMiB); }},
      {"mib_hot_raw", [&] { return duels.ring_vs_raw(Mode::kHot, kMiB); }},
      {"mib_runtime_string", [&] { return duels.ring_vs_grpc(Work::kRuntime, Mode::kDefault, kMiB); }},
      {"mib_runtime_small", [&] { return small_values(duels); }},
      {"handle_both_ways", [&] { return duels.handle_vs_few(Work::kTransportEcho, kMiB, 0); }},
      {"handle_one_way", [&] { return handle_one_way(duels); }},
      {"again_by_another", [&] { return served_again(2, options, results); }},
      {"again_by_the_only", [&] { return served_again(1, options, results); }},
      {"idle_rings", [&] { return idle_cpu_percent(100, options, results); }},
  };
}

void row(const Options& options, const Contestant& contestant, std::size_t window, nlohmann::json& results) {
  const Contestant free = placed(contestant, Placement::kFree);
  take_turn(free, 1);
  const Turn turn = take_turn(free, 3 * options.batches());
  const double rate = 1e9 / median_of(turn.ns);
  std::printf("%-24s %12.0f %14.2f %14.3f\n", contestant.name.c_str(), rate, turn.cpu_us, turn.sleeps);
  std::fflush(stdout);
  results["windows"].push_back({{"door", contestant.name.substr(0, contestant.name.find(", window"))},
                                {"window", window},
                                {"calls_per_s", rate},
                                {"cpu_us", turn.cpu_us},
                                {"sleeps_per_call", turn.sleeps}});
}

/// 64 B pings through the runtime by the number of calls under way, nothing pinned.
void table(Houses& houses, const Options& options, nlohmann::json& results) {
  std::printf("\n%-24s %12s %14s %14s\n", "door", "calls/s", "CPU us a call", "sleeps a call");
  for (const std::size_t window : {1, 8, 64, 256}) {
    for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
      const House& house = houses.of(Mode::kDefault);
      const Load load{house.connect(door), Work::kRuntime, kPing, house.worker_pid()};
      row(options, window_contestant(load, window, options.batch()), window, results);
    }
    const House& hot = houses.of(Mode::kHot);
    const Load load{hot.connect(DoorChoice::kRing, Mode::kHot), Work::kRuntime, kPing, hot.worker_pid()};
    Contestant spinning = window_contestant(load, window, options.batch());
    spinning.name = "ring spinning, window " + std::to_string(window);
    row(options, spinning, window, results);
  }
}

}  // namespace

int run_rings(const Options& options) {
  std::printf("rings: %s, %u CPUs, %zu rounds of A B B A a mark\n", options.check ? "marks" : "table",
              std::thread::hardware_concurrency(), options.rounds());
  nlohmann::json results = {{"cpus", std::thread::hardware_concurrency()}};
  Duels duels(options, results);
  int missed = 0;
  if (options.check) {
    missed = judge_marks("rings", measurements(duels, results), options, results);
  } else {
    table(duels.houses(), options, results);
  }
  save(options, results);
  return missed == 0 || options.small ? 0 : 1;
}

}  // namespace ringside::bench
