#pragma once
// Keeps a ring attached: a thread that waits for the worker's end of the attachment to close, and then attaches the
// same segment again, to any worker, until it has one or its patience ends. Private to the library.

#include <functional>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside {

class RingKeeper {
 public:
  /// All run on the keeper's thread.
  struct Hooks {
    /// The worker takes nothing more, and has closed its half. True: it still has something to answer, and `over` comes
    /// when the attachment has ended both ways. False, or empty: it is as good as lost.
    std::function<bool()> leaves;
    /// The worker has closed the attachment.
    std::function<void()> lost;
    /// One attempt to attach again, which ends early when `stop` becomes readable: the new attachment's socket, which
    /// stays open until the next loss. Any error but kUnavailable ends the attempts. Empty: there are none.
    std::function<Result<int>(int stop)> attach;
    /// There will be no worker any more. The last thing that runs.
    std::function<void()> over;
  };
  /// `patience`: how long it tries after each loss. `socket` stays open until it is lost. kSystem: no descriptor.
  static Result<std::unique_ptr<RingKeeper>> start(int socket, Duration patience, Hooks hooks);
  /// Joins; no hook runs any more.
  ~RingKeeper();
  RingKeeper(const RingKeeper&) = delete;
  RingKeeper& operator=(const RingKeeper&) = delete;

 private:
  RingKeeper(UniqueFd stop, Duration patience, Hooks hooks);
  void run(int socket);
  [[nodiscard]] int wait_for(int socket, int events) const;
  [[nodiscard]] Result<int> attach_again() const;

  const UniqueFd stop_;
  const Duration patience_;
  const Hooks hooks_;
  std::thread thread_;
};

}  // namespace ringside
