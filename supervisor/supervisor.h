#pragma once
// The supervisor: owns every listening socket and every worker's life, and never reads a body. One loop on one thread
// holds all state: events go through the policy (policy.h), what it decides is carried out here, and after each event
// the rest is brought in line with it (who accepts, what waits, which timer is next, what control.sock tells).
//
// The service manager is told from the same loop (notify.h): ready when the first worker is.
//
// SIGTERM, SIGINT: takes no connection any more, lets workers finish, ends. The same again: kills them. Both signals
// must be blocked in every thread before create().

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/epoch_page.h"
#include "base/result.h"
#include "supervisor/adopted_sockets.h"
#include "supervisor/config.h"
#include "supervisor/control_server.h"
#include "supervisor/event_loop.h"
#include "supervisor/handover.h"
#include "supervisor/listeners.h"
#include "supervisor/meter_book.h"
#include "supervisor/metrics_server.h"
#include "supervisor/notify.h"
#include "supervisor/policy.h"
#include "supervisor/runtime_folder.h"
#include "supervisor/worker_process.h"

namespace ringside::supervisor {

struct SupervisorOptions {
  Config config;
  AdoptedSockets adopted;
  std::string runtime_dir = "/run/ringside";
  std::string worker_program;  ///< a path
  std::string version;
  std::uint16_t metrics_port = 0;  ///< on loopback, beside metrics.sock; 0: none
  PolicyOptions policy;
  std::uint64_t seed = 0;  ///< of the policy's jitter
};

class Supervisor {
 public:
  /// Takes the folder, adopts or binds the sockets, starts the control server; nothing is left behind when one of these
  /// fails. What to do about it stands in the log. `clock` is CLOCK_MONOTONIC's, since timers are; it outlives the
  /// supervisor.
  static Result<std::unique_ptr<Supervisor>> create(SupervisorOptions options, const Clock& clock);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Runs until it was told to stop and every worker is gone. kSystem when the loop itself fails.
  Status run();

 private:
  /// One worker's place; its process comes and goes.
  struct Slot {
    std::unique_ptr<WorkerProcess> process;
    SteadyTime started = SteadyTime::max();
    std::string last_exit;
    control::v1::WorkerReport report;  ///< the process's last
    std::uint64_t handed = 0;          ///< to the process
    std::uint64_t handed_since_report = 0;
    SteadyTime heard{};  ///< of the process, last
  };

  Supervisor(SupervisorOptions options, const Clock& clock, RuntimeFolder folder, EpochPage epoch, EventLoop loop);
  Status start();

  void apply(const Event& event);
  void carry_out(const action::Spawn& spawn);
  void carry_out(const action::Kill& kill);
  void carry_out(const action::Drain& drain);
  void carry_out(const action::Announce& announce);
  void carry_out(const action::Finish& finish);

  Status spawn_worker(std::size_t slot);
  void on_said(std::size_t slot, const link::v1::ToSupervisor& message);
  void on_exited(std::size_t slot, Exit exit);
  void on_signal(std::string_view name, pid_t sender);
  void on_watchdog_due();

  [[nodiscard]] bool is_ready(std::size_t slot) const;
  [[nodiscard]] std::vector<Load> loads() const;
  /// A connection for a worker is taken while one is ready and none waits already; else the kernel's queue keeps it.
  [[nodiscard]] bool may_accept() const;
  Status hand(std::size_t slot, const Accepted& connection);
  /// Brings everything in line with the state, after each event.
  void settle();
  void publish();
  [[nodiscard]] OverallHealth health() const;
  void on_beat();

  SupervisorOptions options_;
  const Clock& clock_;
  SteadyTime started_;
  RuntimeFolder folder_;
  EpochPage epoch_;
  EventLoop loop_;
  Notifier notifier_;
  PolicyState policy_;
  Handover handover_;
  bool finished_ = false;
  bool was_ready_ = false;
  bool changed_ = true;  ///< something that control.sock tells
  MeterBook meters_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<MetricsServer> metrics_;
  std::vector<Slot> slots_;
  std::unique_ptr<Listeners> listeners_;
  EventSource terminate_;
  EventSource interrupt_;
  EventSource policy_timer_;
  EventSource expiry_timer_;
  EventSource watchdog_timer_;
  EventSource beat_timer_;
};

}  // namespace ringside::supervisor
