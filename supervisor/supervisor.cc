#include "supervisor/supervisor.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "rpc/link.h"

namespace ringside::supervisor {
namespace {

using control::v1::Worker;

Worker::State state_of(Phase phase) {
  switch (phase) {
    case Phase::kBackingOff:
      return Worker::STATE_BACKING_OFF;
    case Phase::kStarting:
      return Worker::STATE_STARTING;
    case Phase::kReady:
      return Worker::STATE_READY;
    case Phase::kDraining:
    case Phase::kEnding:
      return Worker::STATE_DRAINING;
    case Phase::kStopped:
      return Worker::STATE_UNKNOWN;
  }
  return Worker::STATE_UNKNOWN;
}

constexpr Duration kBeat = std::chrono::seconds(1);

std::int64_t to_ms(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

std::string error_text(const Error& error) {
  std::string text(error.message);
  if (error.os_error != 0) text += ": " + std::generic_category().message(error.os_error);
  return text;
}

}  // namespace

Result<std::unique_ptr<Supervisor>> Supervisor::create(SupervisorOptions options, const Clock& clock) {
  if (::access(options.worker_program.c_str(), X_OK) != 0) {
    const int failed = errno;
    log::error(
        "the worker's program cannot be run; install it beside ringsided or name it by --worker-program program={} "
        "error={}",
        options.worker_program, std::generic_category().message(failed));
    return Error{Code::kNotFound, failed, "the worker's program cannot be run"};
  }
  RuntimeFolder folder = RS_TRY(RuntimeFolder::hold(options.runtime_dir));
  EpochPage epoch = RS_TRY(EpochPage::create());
  EventLoop loop = RS_TRY(EventLoop::create());
  std::unique_ptr<Supervisor> supervisor(
      new Supervisor(std::move(options), clock, std::move(folder), std::move(epoch), std::move(loop)));
  RS_TRY_STATUS(supervisor->start());
  return supervisor;
}

Supervisor::Supervisor(SupervisorOptions options, const Clock& clock, RuntimeFolder folder, EpochPage epoch,
                       EventLoop loop)
    : options_(std::move(options)),
      clock_(clock),
      started_(clock.now()),
      folder_(std::move(folder)),
      epoch_(std::move(epoch)),
      loop_(std::move(loop)),
      notifier_(clock),
      policy_(options_.policy, options_.config.workers, options_.seed),
      handover_(
          clock, [this] { return loads(); },
          [this](std::size_t slot, const Accepted& connection) { return hand(slot, connection); }),
      slots_(options_.config.workers) {}

Supervisor::~Supervisor() = default;

Status Supervisor::start() {
  control_ = RS_TRY(ControlServer::start(clock_));
  metrics_ = std::make_unique<MetricsServer>([this] { return control_->status(); }, clock_);
  if (options_.metrics_port != 0) {
    const Status listening = metrics_->listen(options_.metrics_port);
    if (!listening.ok())
      log::error("no metrics at 127.0.0.1:{}: {}", options_.metrics_port, error_text(listening.error()));
    RS_TRY_STATUS(listening);
  }
  terminate_ = RS_TRY(loop_.signal(SIGTERM, [this](pid_t sender) { on_signal("SIGTERM", sender); }));
  interrupt_ = RS_TRY(loop_.signal(SIGINT, [this](pid_t sender) { on_signal("SIGINT", sender); }));
  policy_timer_ = RS_TRY(loop_.timer([this] { apply(event::Deadline{}); }));
  expiry_timer_ = RS_TRY(loop_.timer([this] { handover_.expire(); }));
  watchdog_timer_ = RS_TRY(loop_.timer([this] { on_watchdog_due(); }));
  beat_timer_ = RS_TRY(loop_.timer([this] { on_beat(); }));
  Listeners::Hooks hooks;
  hooks.may_accept = [this] { return may_accept(); };
  hooks.to_worker = [this](Accepted connection) { handover_.offer(std::move(connection)); };
  hooks.to_control = [this](UniqueFd connection) { control_->adopt(std::move(connection)); };
  hooks.to_metrics = [this](UniqueFd connection) { metrics_->adopt(std::move(connection)); };
  hooks.refused = [this](UniqueFd fd) {
    changed_ = true;
    if (fd) handover_.linger(std::move(fd));
  };
  listeners_ = RS_TRY(Listeners::open(
      loop_, clock_, folder_,
      {listeners_for(options_.config.doors), std::move(options_.adopted), options_.config.peers}, std::move(hooks)));
  return {};
}

Status Supervisor::run() {
  log::info("supervisor started runtime_dir={} workers={} version={}", folder_.path(), slots_.size(), options_.version);
  on_watchdog_due();
  on_beat();
  apply(event::Deadline{});
  while (!finished_) {
    settle();
    RS_TRY_STATUS(loop_.run_once());
  }
  log::info("supervisor stopped");
  return {};
}

void Supervisor::apply(const Event& event) {
  changed_ = true;
  for (const auto& action : step(policy_, event, clock_.now())) {
    std::visit([this](const auto& what) { carry_out(what); }, action);
  }
}

void Supervisor::carry_out(const action::Spawn& spawn) {
  const Status spawned = spawn_worker(spawn.slot);
  if (spawned.ok()) return;
  log::error("worker {} cannot be started: {}", spawn.slot, error_text(spawned.error()));
  slots_[spawn.slot].process.reset();
  apply(event::SpawnFailed{spawn.slot});
}

void Supervisor::carry_out(const action::Kill& kill) {
  if (slots_[kill.slot].process != nullptr) slots_[kill.slot].process->kill();
}

void Supervisor::carry_out(const action::Drain& drain) {
  if (slots_[drain.slot].process == nullptr) return;
  link::v1::ToWorker message;
  message.mutable_drain()->set_within_ms(static_cast<std::uint64_t>(to_ms(drain.within)));
  slots_[drain.slot].process->send(std::move(message));
}

void Supervisor::carry_out(const action::Announce& announce) {
  const auto& slot = slots_[announce.slot];
  std::string line = "worker " + std::to_string(announce.slot) + " " + std::string(to_string(announce.to)) + ": " +
                     std::string(announce.why);
  if (slot.process != nullptr) line += " pid=" + std::to_string(slot.process->pid());
  if (announce.exit) line += " exit=\"" + to_string(*announce.exit) + "\"";
  if (announce.to == Phase::kBackingOff) line += " again_in_ms=" + std::to_string(to_ms(announce.in));
  line += " before=\"" + std::string(to_string(announce.from)) + "\"";
  const bool expected = policy_.stopping || announce.to == Phase::kStarting || announce.to == Phase::kReady;
  if (expected) {
    log::info("{}", line);
  } else {
    log::warn("{}", line);
  }
}

void Supervisor::carry_out(const action::Finish& /*finish*/) { finished_ = true; }

Status Supervisor::spawn_worker(std::size_t index) {
  Slot& slot = slots_[index];
  std::string last_exit = std::move(slot.last_exit);
  slot = Slot();
  slot.last_exit = std::move(last_exit);
  WorkerProcess::Hooks hooks;
  hooks.said = [this, index](const link::v1::ToSupervisor& message) { on_said(index, message); };
  hooks.link_lost = [this, index](bool broken) {
    apply(broken ? Event(event::LinkBroken{index}) : Event(event::LinkClosed{index}));
  };
  hooks.exited = [this, index](Exit exit) { on_exited(index, exit); };
  const auto config =
      to_worker_config(options_.config, static_cast<std::uint32_t>(index), folder_.path(), options_.version);
  const UniqueFd memfd = RS_TRY(rpc::to_memfd(config));
  slot.process =
      RS_TRY(WorkerProcess::spawn(loop_, {options_.worker_program, "--runtime-dir", folder_.path()}, std::move(hooks)));
  slot.started = clock_.now();
  link::v1::ToWorker message;
  message.mutable_configure();
  const std::array<int, 2> descriptors{memfd.get(), epoch_.fd()};
  const Status sent = slot.process->send_now(message, descriptors);
  // A worker that has died already says why by its exit, which comes next.
  if (!sent.ok() && sent.error().code == Code::kUnavailable) return {};
  return sent;
}

void Supervisor::on_said(std::size_t index, const link::v1::ToSupervisor& message) {
  Slot& slot = slots_[index];
  slot.heard = clock_.now();
  changed_ = true;
  switch (message.message_case()) {
    case link::v1::ToSupervisor::kReady:
      apply(event::Ready{index});
      break;
    case link::v1::ToSupervisor::kReport:
      slot.report = message.report();
      meters_.reported(index, slot.report);
      slot.handed_since_report = 0;
      break;
    case link::v1::ToSupervisor::kAdvanceEpoch: {
      epoch_.advance();
      link::v1::ToWorker answer;
      answer.mutable_epoch_advanced()->set_token(message.advance_epoch().token());
      slot.process->send(std::move(answer));
      break;
    }
    case link::v1::ToSupervisor::kFailed:
      log::error("worker {} failed: {}", index, log::printable(message.failed().reason()));
      break;
    case link::v1::ToSupervisor::MESSAGE_NOT_SET:
      break;
  }
}

void Supervisor::on_exited(std::size_t index, Exit exit) {
  slots_[index].last_exit = to_string(exit);
  const auto gone = std::move(slots_[index].process);
  slots_[index].started = SteadyTime::max();
  slots_[index].report.Clear();
  meters_.ended(index, slots_[index].last_exit);
  if (!policy_.stopping) handover_.worker_gone(index);
  apply(event::Exited{index, exit});
}

void Supervisor::on_signal(std::string_view name, pid_t sender) {
  log::info("{} from pid {}{}", name, sender, policy_.stopping ? ", again: workers are killed" : ": stopping");
  if (policy_.stopping) return apply(event::StopAtOnce{});
  notifier_.stopping();
  listeners_->close_for_workers();
  handover_.clear();
  apply(event::Stop{});
}

void Supervisor::on_watchdog_due() {
  const auto interval = notifier_.watchdog_interval();
  if (!interval) return;
  notifier_.alive();
  watchdog_timer_.arm(clock_.now() + *interval);
}

/// What is published is never older than this, since health is also about who says nothing.
void Supervisor::on_beat() {
  changed_ = true;
  beat_timer_.arm(clock_.now() + kBeat);
}

OverallHealth Supervisor::health() const {
  std::vector<WorkerHealth> workers;
  const SteadyTime now = clock_.now();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    workers.push_back({is_ready(i), now - slots_[i].heard, slots_[i].report.health()});
  }
  return judge(policy_.stopping, options_.config.workers, workers);
}

bool Supervisor::is_ready(std::size_t index) const {
  return policy_.slots[index].phase == Phase::kReady && slots_[index].process != nullptr;
}

std::vector<Load> Supervisor::loads() const {
  std::vector<Load> out;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!is_ready(i)) continue;
    const Slot& slot = slots_[i];
    // connections_open leaves rings out (control.proto), and a ring is a client like any other.
    const std::uint64_t told = std::uint64_t{slot.report.connections_open()} + slot.report.rings();
    out.push_back({i, told + slot.handed_since_report});
  }
  return out;
}

bool Supervisor::may_accept() const { return !policy_.stopping && !handover_.waiting() && !loads().empty(); }

Status Supervisor::hand(std::size_t index, const Accepted& connection) {
  Slot& slot = slots_[index];
  link::v1::ToWorker message;
  message.mutable_connection()->set_door(connection.door);
  message.mutable_connection()->set_peer_pid(connection.peer_pid);
  message.mutable_connection()->set_peer_uid(connection.peer_uid);
  const std::array<int, 1> descriptors{connection.fd.get()};
  RS_TRY_STATUS(slot.process->send_now(message, descriptors));
  ++slot.handed;
  ++slot.handed_since_report;
  changed_ = true;
  return {};
}

void Supervisor::settle() {
  const bool all_handed = handover_.flush();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].process != nullptr) slots_[i].process->wake_when_writable(!all_handed && is_ready(i));
  }
  listeners_->accept_for_workers(may_accept());
  policy_timer_.arm(next_deadline(policy_));
  expiry_timer_.arm(handover_.next_expiry());
  if (!loads().empty() && !std::exchange(was_ready_, true)) {
    log::info("READY runtime_dir={} doors={}", folder_.path(), fmt::join(options_.config.doors, ","));
    notifier_.ready();
  }
  if (std::exchange(changed_, false)) publish();
}

void Supervisor::publish() {
  Snapshot snapshot;
  auto& status = snapshot.status;
  status.set_version(options_.version);
  status.set_pid(::getpid());
  status.set_runtime_dir(folder_.path());
  for (const auto& door : options_.config.doors) status.add_doors(door);
  status.set_workers_wanted(options_.config.workers);
  for (const auto& [socket, count] : listeners_->refused()) (*status.mutable_refused_peers())[socket] = count;
  snapshot.started = started_;
  std::uint64_t rings = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const SlotState& decided = policy_.slots[i];
    auto* worker = status.add_workers();
    worker->set_index(static_cast<std::uint32_t>(i));
    worker->set_pid(slot.process == nullptr ? 0 : slot.process->pid());
    worker->set_state(state_of(decided.phase));
    worker->set_restarts(decided.starts == 0 ? 0 : decided.starts - 1);
    worker->set_last_exit(slot.last_exit);
    worker->set_connections_handed(slot.handed);
    *worker->mutable_report() = slot.report;
    snapshot.workers_started.push_back(slot.started);
    rings += slot.report.rings();
  }
  notifier_.status(status_line(loads().size(), slots_.size(), rings));
  snapshot.health = health();
  snapshot.meters = meters_.view();
  control_->publish(std::move(snapshot));
}

}  // namespace ringside::supervisor
