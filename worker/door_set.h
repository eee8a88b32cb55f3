#pragma once
// The doors of one worker: those that were built in and that the configuration opens. Each costs nothing when off.

#include <sys/types.h>

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ringside/control/v1/control.pb.h"
#include "ringside/link/v1/link.pb.h"
#include "worker/pulse.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

/// adopt() and report() are one thread's, from open() on. drain() runs once, on another, beside report(); nothing is
/// adopted after it began, and it has returned before the set goes away. `runtime` outlives the set.
class DoorSet {
 public:
  /// Opens every door that `config` names. kInvalid: it names one that was built out.
  static Result<std::unique_ptr<DoorSet>> open(const link::v1::WorkerConfig& config, Runtime& runtime);
  /// Closes everything; calls under way are cancelled.
  ~DoorSet();
  DoorSet(const DoorSet&) = delete;
  DoorSet& operator=(const DoorSet&) = delete;

  /// Serves a connection that the supervisor accepted and checked.
  void adopt(const link::v1::Connection& about, UniqueFd connection);
  /// Takes nothing new and answers what is under way within that time. Blocks.
  void drain(Duration within);
  /// The doors' own threads, for proof that they turn; good as long as the set.
  [[nodiscard]] std::vector<RunOnLoop> loops();
  /// How the worker is, for those who watch its health. Any thread.
  void tell(Health health);
  /// Adds the doors' part of a report, once a second, and takes files of theirs that have changed.
  void report(control::v1::WorkerReport& report);

 private:
  struct State;
  explicit DoorSet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringside::worker
