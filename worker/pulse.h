#pragma once
// Proof that this worker's loops turn: each is asked to run a little function, and once all have, a round is over and
// the next begins. How many rounds there were is the progress that the supervisor judges by (ringside.control.v1):
// calls under way do not hold it up, a loop that hangs does.
//
// The loops are those that serve everybody: the link's own, the rings', the HTTP door's. gRPC's threads are a pool that
// no such question reaches.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace ringside::worker {

/// Runs a function on a loop, soon. Any thread.
using RunOnLoop = std::function<void(std::function<void()>)>;

/// The link's thread only; what it asks loops to run is safe to run later than the pulse lives.
class Pulse {
 public:
  explicit Pulse(std::vector<RunOnLoop> loops) : loops_(std::move(loops)) {}

  /// Begins the next round if the last is over; the number of rounds begun.
  std::uint64_t beat() {
    if (open_->load(std::memory_order_acquire) > 0) return rounds_;
    open_->store(loops_.size(), std::memory_order_relaxed);
    // Acquire and release pair up, though nothing but the counter itself is passed on.
    for (const auto& run : loops_) run([open = open_] { open->fetch_sub(1, std::memory_order_release); });
    return ++rounds_;
  }

 private:
  std::vector<RunOnLoop> loops_;
  std::shared_ptr<std::atomic<std::size_t>> open_ = std::make_shared<std::atomic<std::size_t>>(0);
  std::uint64_t rounds_ = 0;
};

}  // namespace ringside::worker
