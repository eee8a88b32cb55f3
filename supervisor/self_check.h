#pragma once
// Asks the program that is about to take our place whether it could: runs it with our arguments and --check-config.
// The loop's thread only.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/event_loop.h"

namespace ringside::supervisor {

class SelfCheck {
 public:
  /// It has to say something within this time.
  static constexpr Duration kLimit = std::chrono::seconds(10);

  /// `done` gets the faults, a line each; none: it is fine. It may destroy the check. `loop` outlives the check.
  static Result<std::unique_ptr<SelfCheck>> start(EventLoop& loop, const Clock& clock, std::vector<std::string> argv,
                                                  std::function<void(std::vector<std::string> faults)> done);
  /// Kills and reaps what still runs.
  ~SelfCheck();
  SelfCheck(const SelfCheck&) = delete;
  SelfCheck& operator=(const SelfCheck&) = delete;

 private:
  SelfCheck(pid_t pid, UniqueFd pidfd, UniqueFd output, std::function<void(std::vector<std::string>)> done);
  void on_exit();
  [[nodiscard]] std::vector<std::string> said() const;

  pid_t pid_;
  bool reaped_ = false;
  bool late_ = false;
  std::function<void(std::vector<std::string>)> done_;
  UniqueFd pidfd_;
  UniqueFd output_;
  EventSource exit_source_;  // after what they watch
  EventSource limit_;
};

}  // namespace ringside::supervisor
