#pragma once
// What the calls of a worker cost, by door and method: counts, errors, bytes, latencies. Relaxed additions, no locks
// and no memory for a call.

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/latency.h"
#include "worker/runtime/call.h"

namespace ringside::worker {

[[nodiscard]] std::string_view to_string(Door door);
[[nodiscard]] std::string_view to_string(Method method);
/// kOther for whatever we do not know: a stranger cannot make the list longer.
[[nodiscard]] Method method_of(std::string_view jsonrpc_method);

struct CallCount {
  Door door = Door::kGrpc;
  Method method = Method::kOther;
  LatencyHistogram::Counts latency{};
  double seconds = 0;
  std::uint64_t client_errors = 0;
  std::uint64_t server_errors = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t streams = 0;
};

/// Thread-safe.
class Meter {
 public:
  struct Outcome {
    int status = 200;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    bool stream = false;
    Duration took{};
  };
  void count(Door door, Method method, const Outcome& outcome);
  /// Those that had a call.
  [[nodiscard]] std::vector<CallCount> read() const;

 private:
  struct alignas(64) Cell {
    LatencyHistogram latency;
    std::atomic<std::uint64_t> client_errors{0};
    std::atomic<std::uint64_t> server_errors{0};
    std::atomic<std::uint64_t> bytes_in{0};
    std::atomic<std::uint64_t> bytes_out{0};
    std::atomic<std::uint64_t> streams{0};
  };
  std::array<std::array<Cell, kMethodCount>, kDoorCount> cells_;
};

}  // namespace ringside::worker
