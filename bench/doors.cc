// ringside_bench doors: each door by body size, beside the floors; and the marks of bench/marks.json.

#include "bench/doors.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/floors.h"
#include "bench/house.h"
#include "bench/placement.h"

namespace ringside::bench {
namespace {

constexpr std::array<std::size_t, 4> kSizes = {64, 4096, 65536, 1 << 20};
constexpr std::array<Placement, 3> kPlacements = {Placement::kFree, Placement::kSameCpu, Placement::kAcrossCpus};
constexpr int kHotWorkerSpinUs = 2000;

std::string size_name(std::size_t bytes) {
  if (bytes >= 1 << 20) return std::to_string(bytes >> 20U) + " MiB";
  if (bytes >= 1 << 10) return std::to_string(bytes >> 10U) + " KiB";
  return std::to_string(bytes) + " B";
}

std::size_t calls_for(std::size_t bytes, const DoorsOptions& options) {
  const std::size_t calls = bytes >= 1 << 20 ? 60 : bytes >= 65536 ? 150 : 400;
  return options.small ? 10 : calls;
}

class DoorsBench {
 public:
  explicit DoorsBench(const DoorsOptions& options) : options_(options), rounds_(options.small ? 2 : 10) {}

  void table() {
    std::printf("\n%-16s %-15s %-12s %-8s %10s %12s\n", "door", "work", "placement", "body", "p50 us", "calls/s");
    for (const std::size_t bytes : kSizes) {
      floors(bytes);
      for (const Work work : {Work::kTransportEcho, Work::kRuntime}) {
        for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
          auto contestant = door_contestant(connect(plain_.dir(), door, Mode::kDefault), work, Mode::kDefault, bytes);
          for (const Placement placement : {Placement::kSameCpu, Placement::kAcrossCpus}) {
            row(contestant, to_string(work), placement, plain_.worker_pid(), bytes);
          }
        }
      }
    }
    place(Placement::kFree, {plain_.worker_pid()});
  }

  /// Exit status: 0 when every mark is met.
  int check() {
    std::ifstream file(test::source_dir() + "/bench/marks.json");
    const auto marks = nlohmann::json::parse(file).at("doors");
    int missed = 0;
    for (const auto& mark : marks) {
      const std::string name = mark.at("name");
      std::printf("\n%s\n", mark.at("what").get<std::string>().c_str());
      const double figure = measure(name);
      const double wanted = mark.at("at_least");
      const bool met = figure >= wanted;
      std::printf("  mark %s: at least %.1fx, measured %.1fx: %s\n", name.c_str(), wanted, figure,
                  met ? "met" : "MISSED");
      results_["marks"].push_back({{"name", name}, {"at_least", wanted}, {"measured", figure}, {"met", met}});
      missed += met ? 0 : 1;
    }
    return missed == 0 ? 0 : 1;
  }

  [[nodiscard]] const nlohmann::json& results() const { return results_; }

 private:
  void row(Contestant contestant, const char* work, Placement placement, pid_t peer, std::size_t bytes) {
    contestant.enter = [=] { place(placement, {peer}); };
    const std::size_t calls = calls_for(bytes, options_);
    take_turn(contestant, calls / 2);
    const auto start = std::chrono::steady_clock::now();
    const auto times = take_turn(contestant, calls);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double p50 = median_of(times) / 1000;
    std::printf("%-16s %-15s %-12s %-8s %10.1f %12.0f\n", contestant.name.c_str(), work, to_string(placement),
                size_name(bytes).c_str(), p50, static_cast<double>(calls) / seconds);
    results_["table"].push_back({{"door", contestant.name},
                                 {"work", work},
                                 {"placement", to_string(placement)},
                                 {"bytes", bytes},
                                 {"p50_us", p50},
                                 {"calls_per_s", static_cast<double>(calls) / seconds}});
  }

  void floors(std::size_t bytes) {
    std::vector<Floor> floors;
    if (bytes == kSizes.front()) {
      floors.push_back(futex_ping_pong());
      floors.push_back(eventfd_ping_pong());
    }
    floors.push_back(raw_socket_echo(bytes));
    floors.push_back(four_copies(bytes));
    floors.push_back(plain_grpc_echo(bytes));
    for (auto& floor : floors) {
      row(floor.contestant, "floor", Placement::kSameCpu, floor.pid, bytes);
      row(floor.contestant, "floor", Placement::kAcrossCpus, floor.pid, bytes);
    }
  }

  /// The baseline's best placement, by a short trial of each.
  Placement best_placement(Contestant contestant, pid_t peer, std::size_t calls) {
    Placement best = Placement::kFree;
    double best_p50 = 0;
    for (const Placement placement : kPlacements) {
      contestant.enter = [=] { place(placement, {peer}); };
      take_turn(contestant, calls / 2);
      const double p50 = median_of(take_turn(contestant, calls));
      if (best_p50 == 0 || p50 < best_p50) {
        best = placement;
        best_p50 = p50;
      }
    }
    return best;
  }

  /// The raw socket must be faster than gRPC over the same bytes, and our gRPC door within reach of a plain gRPC
  /// server: else the baseline is broken and nothing is proven by beating it.
  void validate_baseline(Contestant& baseline, std::size_t bytes, std::size_t calls) {
    const Floor raw = raw_socket_echo(bytes);
    const Floor plain = plain_grpc_echo(bytes);
    const auto p50 = [&](const Contestant& contestant) {
      take_turn(contestant, calls / 2);
      return median_of(take_turn(contestant, calls)) / 1000;
    };
    place(Placement::kFree, {plain.pid, raw.pid});
    const double raw_us = p50(raw.contestant);
    const double plain_us = p50(plain.contestant);
    const double ours_us = p50(baseline);
    std::printf("  baseline: raw socket %.1f us, plain gRPC %.1f us, our gRPC door %.1f us\n", raw_us, plain_us,
                ours_us);
    if (!options_.small && (plain_us < raw_us || ours_us > 3 * plain_us)) {
      std::fprintf(stderr, "bench: the baseline is invalid (see the line above), so no mark can be judged\n");
      std::exit(1);  // NOLINT(concurrency-mt-unsafe): nothing is worth unwinding
    }
  }

  double measure(const std::string& name) {
    if (name == "mebibyte_echo_parked") return ring_vs_grpc(Work::kTransportEcho, Mode::kParked, 1 << 20, plain_);
    if (name == "ping_hot") return ring_vs_grpc(Work::kRuntime, Mode::kHot, 64, hot_);
    RS_CHECK(name == "ping_default", "every mark of bench/marks.json has its measurement here");
    return ring_vs_grpc(Work::kRuntime, Mode::kDefault, 64, plain_);
  }

  /// The ring at its house against gRPC at the plain one, the ring pinned both ways (hot: across only; free where the
  /// user's own settings count). The lower median of the placements is the figure.
  double ring_vs_grpc(Work work, Mode mode, std::size_t bytes, const House& ring_house) {
    const std::size_t calls = calls_for(bytes, options_);
    Contestant grpc = door_contestant(connect(plain_.dir(), DoorChoice::kGrpc, Mode::kDefault), work,
                                      mode == Mode::kParked ? mode : Mode::kDefault, bytes);
    validate_baseline(grpc, bytes, calls);
    const Placement best = best_placement(grpc, plain_.worker_pid(), calls);
    const std::vector<pid_t> pids = {plain_.worker_pid(), ring_house.worker_pid()};
    grpc.enter = [=] { place(best, pids); };
    std::vector<Placement> placements = {Placement::kSameCpu, Placement::kAcrossCpus};
    if (mode == Mode::kHot) placements = {Placement::kAcrossCpus};
    if (mode == Mode::kDefault) placements = {Placement::kFree};
    double figure = 0;
    for (const Placement placement : placements) {
      Contestant ring = door_contestant(connect(ring_house.dir(), DoorChoice::kRing, mode), work, mode, bytes);
      ring.enter = [=] { place(placement, pids); };
      const double cpu_before = cpu_seconds(0) + cpu_seconds(ring_house.worker_pid());
      const Duel result = duel(grpc, ring, rounds_, calls);
      std::printf("  %-11s ring %.1f us, gRPC (%s) %.1f us: %.1fx (rounds %.1f to %.1f), CPU of both sides %.2f s\n",
                  to_string(placement), spread_of(result.challenger_p50_ns).median / 1000, to_string(best),
                  spread_of(result.baseline_p50_ns).median / 1000, result.ratio.median, result.ratio.lowest,
                  result.ratio.highest, cpu_seconds(0) + cpu_seconds(ring_house.worker_pid()) - cpu_before);
      figure = figure == 0 ? result.ratio.median : std::min(figure, result.ratio.median);
    }
    place(Placement::kFree, pids);
    return figure;
  }

  DoorsOptions options_;
  std::size_t rounds_;
  House plain_{-1};
  House hot_{kHotWorkerSpinUs};
  nlohmann::json results_;
};

}  // namespace

int run_doors(const DoorsOptions& options) {
  std::printf("doors: %s, %u CPUs, 10 rounds of A B B A a mark, hot spins %d us in the worker\n",
              options.check ? "marks" : "table", std::thread::hardware_concurrency(), kHotWorkerSpinUs);
  DoorsBench bench(options);
  int status = 0;
  if (options.check) {
    status = bench.check();
  } else {
    bench.table();
  }
  if (!options.json_path.empty()) std::ofstream(options.json_path) << bench.results().dump(1) << '\n';
  return options.small ? 0 : status;
}

int run_table(const std::string& runtime_dir, const std::string& tool) {
  std::printf("%-8s %-8s %10s %12s\n", "door", "body", "p50 us", "calls/s");
  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{1 << 20}}) {
      const auto contestant =
          door_contestant(connect(runtime_dir, door, Mode::kDefault), Work::kRuntime, Mode::kDefault, bytes, tool);
      const std::size_t calls = bytes > 64 ? 50 : 500;
      take_turn(contestant, calls / 2);
      const auto start = std::chrono::steady_clock::now();
      const auto times = take_turn(contestant, calls);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      std::printf("%-8s %-8s %10.1f %12.0f\n", contestant.name.c_str(), size_name(bytes).c_str(),
                  median_of(times) / 1000, static_cast<double>(calls) / seconds);
    }
  }
  return 0;
}

}  // namespace ringside::bench
