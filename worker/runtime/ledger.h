#pragma once
// Counts calls in and answers out, gives each call its id, and writes the log's line about one that failed or was slow.
// Thread-safe; no lock on the way of a call.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "worker/runtime/call.h"
#include "worker/runtime/meter.h"

namespace ringside::worker {

struct RuntimeStats;

struct LedgerOptions {
  Duration slow{0};           ///< a call that takes as long gets a line in the log; 0: none does
  std::uint64_t id_seed = 0;  ///< of the ids that are made here; of this worker alone
};

class Ledger {
 public:
  /// `clock` outlives it.
  Ledger(LedgerOptions options, const Clock& clock) : options_(options), clock_(clock) {}

  /// A call came in. Exactly one answer() or end() follows.
  void begin(Call& call);
  void answer(const std::shared_ptr<Call>& call, mcp::Response response);
  /// The same for an answer that was begun as a stream.
  void end(const std::shared_ptr<Call>& call);
  /// Names the call in the head of its answer. For a head that does not go through answer().
  void sign(Call& call, mcp::Response& head) const;
  /// What the call is known by: its x-request-id as it came, else the trace id of its traceparent, else one of ours.
  [[nodiscard]] std::string id_of(Call& call) const;

  [[nodiscard]] RuntimeStats stats() const;
  [[nodiscard]] const Meter& meter() const { return meter_; }

 private:
  void left(Call& call);
  void finished(Call& call, int status, std::uint64_t bytes_out, bool stream);
  void tell(Call& call, int status, Duration took);

  const LedgerOptions options_;
  const Clock& clock_;
  Meter meter_;
  std::array<std::atomic<std::uint64_t>, kDoorCount> by_door_{};
  std::atomic<std::uint32_t> under_way_{0};
  // Of the log's lines: at most so many a second.
  std::atomic<std::int64_t> second_{0};
  std::atomic<std::uint32_t> told_{0};
  std::atomic<std::uint64_t> untold_{0};
};

}  // namespace ringside::worker
