#pragma once
// The supervisor: owns every listening socket and every worker's life, and never reads a body. One loop on one thread
// holds all state: events go through the policy (policy.h), what it decides is carried out here, and after each event
// the rest is brought in line with it (who accepts, what waits, which timer is next, what control.sock tells).
//
// The service manager is told from the same loop (notify.h): ready when the first worker is.
//
// SIGTERM, SIGINT: takes no connection any more, lets workers finish, ends. The same again: kills them.
// SIGHUP: reads the configuration again; a wrong one changes nothing, a right one relieves every worker.
// SIGUSR2: executes the program again in this process, which keeps sockets and workers and relieves them.
// All must be blocked in every thread before create(). control.sock takes the same orders, and those about workers.
//
// supervisor.cc has the loop, orders.cc what operators ask for, status.cc what they are told.

#include <cstdint>
#include <functional>
#include <map>
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
#include "supervisor/event_book.h"
#include "supervisor/event_loop.h"
#include "supervisor/handover.h"
#include "supervisor/inheritance.h"
#include "supervisor/listeners.h"
#include "supervisor/meter_book.h"
#include "supervisor/metrics_server.h"
#include "supervisor/notify.h"
#include "supervisor/order_queue.h"
#include "supervisor/policy.h"
#include "supervisor/runtime_folder.h"
#include "supervisor/self_check.h"
#include "supervisor/worker_process.h"

namespace ringside::supervisor {

struct SupervisorOptions {
  Config config;
  AdoptedSockets adopted;
  std::string runtime_dir = "/run/ringside";
  std::string worker_program;  ///< a path
  std::string version;
  std::uint64_t seed = 0;                               ///< of the policy's jitter
  std::function<LoadedConfig()> load;                   ///< reads the configuration again, as it was read for `config`
  std::vector<std::string> argv;                        ///< of this process, with the program's path first
  std::optional<upgrade::v1::Inheritance> inheritance;  ///< what the program before this one left
  std::uint16_t metrics_port = 0;                       ///< on loopback, beside metrics.sock; 0: none
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
  /// A slot of the policy: one process's life.
  struct Slot {
    std::unique_ptr<WorkerProcess> process;
    pid_t pid = 0;  ///< of the process, also when it is gone
    SteadyTime started = SteadyTime::max();
    control::v1::WorkerReport report;  ///< the process's last
    std::uint64_t handed = 0;          ///< to the process
    std::uint64_t handed_since_report = 0;
    SteadyTime heard{};                                                                ///< of the process, last
    UniqueFd calls;                                                                    ///< its page of calls under way
    enum class EpochPage { kMapped, kToSend, kSent } epoch_page = EpochPage::kMapped;  ///< of one that was inherited
  };
  /// What is known of a place, whoever serves there.
  struct Place {
    std::string last_exit;
    control::v1::Crash last_crash;
  };

  Supervisor(SupervisorOptions options, const Clock& clock, RuntimeFolder folder, EpochPage epoch, EventLoop loop);
  Status start();
  Status open_listeners();

  void apply(const Event& event);
  void carry_out(const action::Spawn& spawn);
  void carry_out(const action::Kill& kill);
  void carry_out(const action::Abort& abort);
  void carry_out(const action::Drain& drain);
  void carry_out(const action::Announce& announce);
  void carry_out(const action::Finish& finish);

  Status spawn_worker(std::size_t slot);
  [[nodiscard]] WorkerProcess::Hooks hooks_of(std::size_t slot);
  void on_said(std::size_t slot, const link::v1::ToSupervisor& message, std::vector<UniqueFd> descriptors);
  void answer_epoch(std::size_t slot, std::uint64_t token);
  void epoch_page_mapped(std::size_t slot);
  void send_epoch_page(Slot& slot);
  void note_crash(std::size_t slot, Exit exit);
  void on_exited(std::size_t slot, Exit exit);
  void on_signal(std::string_view name, pid_t sender);
  void on_watchdog_due();

  // orders.cc
  void take(const Order& order, const OrderAnswer& answer);
  [[nodiscard]] std::vector<std::string> refusal_of(const Order& order) const;
  void reload(const OrderAnswer& answer);
  std::vector<std::string> put_in_force(LoadedConfig loaded);
  void upgrade(const OrderAnswer& answer);
  void leave_to_next_program();
  [[nodiscard]] upgrade::v1::Inheritance inheritance() const;
  Status take_over(const upgrade::v1::Inheritance& left);
  [[nodiscard]] control::v1::OrderResponse accepted() const;

  [[nodiscard]] bool is_ready(std::size_t slot) const;
  [[nodiscard]] std::vector<Load> loads() const;
  /// A connection for a worker is taken while one is ready and none waits already; else the kernel's queue keeps it.
  [[nodiscard]] bool may_accept() const;
  Status hand(std::size_t slot, const Accepted& connection);
  /// Brings everything in line with the state, after each event.
  void settle();
  // status.cc
  void publish();
  void tell_worker(std::size_t slot, control::v1::Worker& worker) const;
  void note(std::string_view kind, std::string text);
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
  EventBook book_;
  Handover handover_;
  bool finished_ = false;
  bool was_ready_ = false;
  bool reloading_ = false;  ///< the service manager was told so
  bool changed_ = true;     ///< something that control.sock tells
  std::uint32_t upgrades_ = 0;
  std::optional<control::v1::LastReload> last_reload_;
  std::vector<std::pair<std::size_t, std::uint64_t>> epochs_asked_;  ///< slot, token; while a page is owed
  std::unique_ptr<OrderQueue> orders_;
  MeterBook meters_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<MetricsServer> metrics_;
  std::vector<Slot> slots_;
  std::map<std::uint32_t, Place> places_;
  std::unique_ptr<Listeners> listeners_;
  EventSource terminate_;
  EventSource interrupt_;
  EventSource hang_up_;
  EventSource upgrade_signal_;
  EventSource policy_timer_;
  EventSource expiry_timer_;
  EventSource watchdog_timer_;
  EventSource upgrade_timer_;
  std::unique_ptr<SelfCheck> self_check_;
  EventSource beat_timer_;
};

}  // namespace ringside::supervisor
