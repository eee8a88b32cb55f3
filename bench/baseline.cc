#include "bench/baseline.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "bench/echo_floors.h"

namespace ringside::bench {
namespace {

/// How much slower than a plain gRPC echo our gRPC door may be before beating it proves nothing.
constexpr double kWithinReach = 3;

double trial(const Contestant& contestant, std::size_t calls) {
  take_turn(contestant, (calls + 1) / 2);
  return median_of(take_turn(contestant, calls).ns);
}

double trial_us(const Placed& best) { return trial(placed(best.contestant, best.placement), 1) / 1000; }

/// The raw socket must be faster than gRPC over the same bytes, and our gRPC door within reach of a plain gRPC server.
void validate(const char* unit, double raw, double plain, double ours, bool judge) {
  std::printf("  baseline: raw socket %.1f, plain gRPC %.1f, our gRPC door %.1f %s\n", raw, plain, ours, unit);
  if (judge && (plain < raw || ours > kWithinReach * plain)) {
    throw GiveUp("the baseline is invalid (see the line above), so no mark can be judged");
  }
}

}  // namespace

Placed best_of(const std::vector<Contestant>& contestants, std::size_t calls) {
  Placed best;
  double best_ns = 0;  // none yet
  for (const Contestant& contestant : contestants) {
    for (const Placement placement : {Placement::kFree, Placement::kSameCpu, Placement::kAcrossCpus}) {
      const double ns = trial(placed(contestant, placement), calls);
      if (best_ns != 0 && ns >= best_ns) continue;
      best_ns = ns;
      best = {contestant, placement};
    }
  }
  return best;
}

Placed at_its_best(Contestant contestant, std::size_t calls) { return best_of({std::move(contestant)}, calls); }

Placed grpc_baseline(const House& house, Work work, bool parked_calls, std::size_t bytes, const Options& options) {
  const std::size_t calls = options.calls(bytes);
  const auto grpc_for = [&](Work what) {
    return door_contestant({house.connect(DoorChoice::kGrpc), what, bytes, house.worker_pid()});
  };
  const auto p50_us = [&](const Contestant& contestant) {
    return trial(placed(contestant, Placement::kFree), calls) / 1000;
  };
  const double raw = p50_us(raw_socket_echo(bytes));
  const double plain = p50_us(plain_grpc_echo(bytes));
  // The same work for all three, whatever is compared later.
  validate("us an echo", raw, plain, p50_us(grpc_for(Work::kTransportEcho)), !options.small);
  return at_its_best(parked_calls ? parked(grpc_for(work)) : grpc_for(work), calls);
}

Placed grpc_rate_baseline(const House& house, std::size_t bytes, const Options& options) {
  const std::size_t batch = options.batch();
  const auto load = [&] { return Load{house.connect(DoorChoice::kGrpc), Work::kRuntime, bytes, house.worker_pid()}; };
  // Threads first, and the others let go if threads win: once a process has made one asynchronous call, threads of
  // gRPC's own stand in the way of calls that wait.
  std::vector<Contestant> threads;
  for (const std::size_t count : {1, 2, 3, 4}) threads.push_back(threads_contestant(load(), count, batch));
  Placed best = best_of(threads, 1);
  const double threads_us = trial_us(best);
  std::vector<Contestant> windows;
  std::vector<Contestant> plain;
  for (const std::size_t count : {1, 8, 64}) {
    windows.push_back(window_contestant(load(), count, batch));
    plain.push_back(plain_grpc_window(bytes, count, batch));
  }
  const Placed best_window = best_of(windows, 1);
  const double windows_us = trial_us(best_window);
  if (windows_us < threads_us) best = best_window;
  const double raw_us = trial_us(at_its_best(raw_socket_window(bytes, 64, batch), 1));
  validate("us a call of many", raw_us, trial_us(best_of(plain, 1)), std::min(threads_us, windows_us), !options.small);
  return best;
}

}  // namespace ringside::bench
