#pragma once
// The comparisons that marks are made of. Each prints the figures, the spread of the rounds and the CPU time of both
// sides, and adds them to the results.

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "bench/baseline.h"
#include "bench/house.h"
#include "bench/options.h"
#include "bench/rounds.h"

namespace ringside::bench {

class Duels {
 public:
  /// Both outlive it.
  Duels(const Options& options, nlohmann::json& results) : options_(options), results_(results) {}

  [[nodiscard]] Houses& houses() { return houses_; }
  [[nodiscard]] const Options& options() const { return options_; }

  /// `calls` calls a turn.
  Duel run(const Placed& baseline, const Placed& challenger, std::size_t calls);
  /// How many times faster the ring is than gRPC. The ring is placed as the mode asks (see below).
  double ring_vs_grpc(Work work, Mode mode, std::size_t bytes);
  /// How many times faster a transport echo through the ring is than a raw socket.
  double ring_vs_raw(Mode mode, std::size_t bytes);
  /// What a parked 64 B call through the ring costs, as a multiple of a ring's bare wake-ups at the same place.
  double ring_vs_wakeups(Work work, Placement placement);
  /// What a call by handle with `bytes` costs, as a multiple of the same call with a body of `few` bytes.
  double handle_vs_few(Work work, std::size_t bytes, std::size_t few);

 private:
  double against(const Placed& baseline, Work work, Mode mode, std::size_t bytes);
  Contestant ring(Work work, Mode mode, std::size_t bytes);

  const Options& options_;
  nlohmann::json& results_;
  Houses houses_;
};

}  // namespace ringside::bench
