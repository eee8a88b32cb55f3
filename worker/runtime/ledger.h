#pragma once
// Counts calls in and answers out. Thread-safe; three relaxed counters per call.

#include <array>
#include <atomic>
#include <memory>

#include "worker/runtime/call.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

class Ledger {
 public:
  /// A call came in. Exactly one answer() or end() follows.
  void begin(Door door);
  void answer(const std::shared_ptr<Call>& call, mcp::Response response);
  /// The same for an answer that was begun as a stream.
  void end(const std::shared_ptr<Call>& call);
  [[nodiscard]] RuntimeStats stats() const;

 private:
  std::array<std::atomic<std::uint64_t>, kDoorCount> by_door_{};
  std::atomic<std::uint32_t> under_way_{0};
};

}  // namespace ringside::worker
