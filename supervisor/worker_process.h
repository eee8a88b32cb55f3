#pragma once
// One worker's process and the supervisor's end of its link, from posix_spawn to the end. Its death is noticed by
// pidfd. The loop's thread only.

#include <sys/types.h>

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ringside/link/v1/link.pb.h"
#include "rpc/link.h"
#include "supervisor/event_loop.h"
#include "supervisor/policy.h"

namespace ringside::supervisor {

class WorkerProcess {
 public:
  /// What the process does to us. Each may destroy the WorkerProcess.
  struct Hooks {
    std::function<void(const link::v1::ToSupervisor&, std::vector<UniqueFd> descriptors)> said;
    /// The worker closed the link, or (broken) sent what is no message. Nothing is said any more; the process may live
    /// on.
    std::function<void(bool broken)> link_lost;
    /// After everything that it had said before. The process is reaped.
    std::function<void(Exit)> exited;
  };

  /// Starts `argv` with the link (non-blocking) as descriptor rpc::kWorkerLinkFd, no input, our output and log, no
  /// signal blocked, ignored or handled, and a process group of its own (a terminal's ^C is for the supervisor). Its
  /// environment is ours without what systemd says to the supervisor alone. `loop` outlives the process.
  static Result<std::unique_ptr<WorkerProcess>> spawn(EventLoop& loop, std::vector<std::string> argv, Hooks hooks);
  /// Takes up a process that the program before ours in this process has started.
  struct Inherited {
    pid_t pid = 0;
    UniqueFd pidfd;
    UniqueFd link;  ///< invalid: lost
    std::vector<std::string> unsent;
  };
  static Result<std::unique_ptr<WorkerProcess>> inherit(EventLoop& loop, Inherited from, Hooks hooks);
  /// Kills and reaps what still runs.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  /// -1: lost.
  [[nodiscard]] int link_fd() const { return link_lost_ ? -1 : link_.fd(); }
  /// What waits for room on the link, as it would be sent.
  [[nodiscard]] std::vector<std::string> unsent() const;

  /// Sends in order; what finds no room waits. While much waits nothing more is read, so a worker that asks and does
  /// not listen stops itself.
  void send(link::v1::ToWorker message);
  /// Sends now or never. kFull: no room, or something waits already; kUnavailable: the link is lost.
  Status send_now(const link::v1::ToWorker& message, std::span<const int> descriptors);
  /// Wakes the loop once the link has room again.
  void wake_when_writable(bool wanted);
  /// The exited hook follows, unless the process withstands the signal.
  void signal(int number) const;

 private:
  WorkerProcess(pid_t pid, UniqueFd pidfd, UniqueFd link, Hooks hooks);
  Status watch(EventLoop& loop);
  void on_link(std::uint32_t events);
  void on_exit();
  /// Reads at most `most` messages; false when the link is lost.
  bool read_messages(std::size_t most);
  void lose_link(bool broken);
  void flush();
  void choose_events();

  pid_t pid_;
  Hooks hooks_;
  std::deque<link::v1::ToWorker> outbox_;
  bool link_lost_ = false;
  bool wake_wanted_ = false;
  bool reaped_ = false;
  UniqueFd pidfd_;
  rpc::Link link_;
  EventSource exit_source_;  // after what they watch
  EventSource link_source_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ringside::supervisor
