#pragma once
// Counts calls in and answers out, and knows when none is under way. Thread-safe; three relaxed counters per call.

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "worker/runtime/call.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

class Ledger {
 public:
  /// A call came in. Exactly one answer() follows.
  void begin(Door door);
  void answer(const std::shared_ptr<Call>& call, mcp::Response response);
  [[nodiscard]] RuntimeStats stats() const;
  /// As Runtime::when_idle.
  void when_idle(std::function<void()> idle);

 private:
  void tell_if_idle();

  std::array<std::atomic<std::uint64_t>, kDoorCount> by_door_{};
  std::atomic<std::uint32_t> under_way_{0};
  std::atomic<bool> awaited_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> waiting_;  // guarded by mutex_
};

}  // namespace ringside::worker
