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
  const auto& left = options.inheritance;
  RuntimeFolder folder = left ? RuntimeFolder::inherit(options.runtime_dir, UniqueFd(left->lock_fd()))
                              : RS_TRY(RuntimeFolder::hold(options.runtime_dir));
  std::uint64_t first_epoch = 0;
  if (left) {
    const UniqueFd page(left->epoch_fd());
    first_epoch = RS_TRY(EpochReader::map(page.get())).counter().load(std::memory_order_acquire) + 1;
  }
  EpochPage epoch = RS_TRY(EpochPage::create(first_epoch));
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
      policy_(options_.config.lives, options_.config.workers, options_.seed),
      book_(clock),
      handover_(
          clock, [this] { return loads(); },
          [this](std::size_t slot, const Accepted& connection) { return hand(slot, connection); }),
      slots_(options_.config.workers) {}

// The control server ends once every call is answered, those too whose order nobody takes any more.
Supervisor::~Supervisor() {
  if (orders_) orders_->close();
  self_check_.reset();
}

Status Supervisor::start() {
  orders_ = RS_TRY(OrderQueue::create(loop_));
  control_ = RS_TRY(ControlServer::start(clock_, book_, [this](Order order, OrderAnswer answer) {
    orders_->post([this, order, answer = std::move(answer)] { take(order, answer); });
  }));
  metrics_ = std::make_unique<MetricsServer>([this] { return control_->status(); }, clock_);
  if (options_.metrics_port != 0) {
    const Status listening = metrics_->listen(options_.metrics_port);
    if (!listening.ok())
      log::error("no metrics at 127.0.0.1:{}: {}", options_.metrics_port, error_text(listening.error()));
    RS_TRY_STATUS(listening);
  }
  terminate_ = RS_TRY(loop_.signal(SIGTERM, [this](pid_t sender) { on_signal("SIGTERM", sender); }));
  interrupt_ = RS_TRY(loop_.signal(SIGINT, [this](pid_t sender) { on_signal("SIGINT", sender); }));
  hang_up_ = RS_TRY(loop_.signal(SIGHUP, [this](pid_t sender) {
    log::info("SIGHUP from pid {}: the configuration is read again", sender);
    take(order::Reload{}, [](const auto& /*answer*/) {});
  }));
  upgrade_timer_ = RS_TRY(loop_.timer([this] { leave_to_next_program(); }));
  upgrade_signal_ = RS_TRY(loop_.signal(SIGUSR2, [this](pid_t sender) {
    log::info("SIGUSR2 from pid {}: the program takes its own place", sender);
    take(order::Upgrade{}, [](const auto& /*answer*/) {});
  }));
  policy_timer_ = RS_TRY(loop_.timer([this] { apply(event::Deadline{}); }));
  expiry_timer_ = RS_TRY(loop_.timer([this] { handover_.expire(); }));
  watchdog_timer_ = RS_TRY(loop_.timer([this] { on_watchdog_due(); }));
  beat_timer_ = RS_TRY(loop_.timer([this] { on_beat(); }));
  RS_TRY_STATUS(open_listeners());
  if (options_.inheritance) RS_TRY_STATUS(take_over(*std::exchange(options_.inheritance, std::nullopt)));
  return {};
}

Status Supervisor::open_listeners() {
  Listeners::Hooks hooks;
  hooks.may_accept = [this] { return may_accept(); };
  hooks.to_worker = [this](Accepted connection) { handover_.offer(std::move(connection)); };
  hooks.to_control = [this](UniqueFd connection, uid_t peer) {
    control_->adopt(std::move(connection), /*may_order=*/peer == 0 || peer == ::geteuid());
  };
  hooks.to_metrics = [this](UniqueFd connection) { metrics_->adopt(std::move(connection)); };
  hooks.refused = [this](UniqueFd fd) {
    changed_ = true;
    if (fd) handover_.linger(std::move(fd));
  };
  Listeners::Options what{listeners_for(options_.config.doors, options_.config.edge), std::move(options_.adopted),
                          options_.config.peers};
  if (options_.inheritance) {
    for (const auto& socket : options_.inheritance->sockets()) {
      what.inherited.push_back({socket.file(), UniqueFd(socket.fd()), socket.ours()});
    }
  }
  listeners_ = RS_TRY(Listeners::open(loop_, clock_, folder_, std::move(what), std::move(hooks)));
  return {};
}

Status Supervisor::run() {
  log::info("supervisor started runtime_dir={} workers={} version={}", folder_.path(), policy_.wanted,
            options_.version);
  note("supervisor", (upgrades_ == 0 ? "started, version " : "goes on, version ") + options_.version);
  on_watchdog_due();
  on_beat();
  if (upgrades_ == 0) {
    apply(event::Deadline{});
  } else {
    apply(event::Renew{options_.config.lives, options_.config.workers});
  }
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
  if (slots_.size() <= spawn.slot) slots_.resize(spawn.slot + 1);
  const Status spawned = spawn_worker(spawn.slot);
  if (spawned.ok()) return;
  log::error("worker {} cannot be started: {}", policy_.slots[spawn.slot].place, error_text(spawned.error()));
  slots_[spawn.slot].process.reset();
  apply(event::SpawnFailed{spawn.slot});
}

void Supervisor::carry_out(const action::Kill& kill) {
  if (slots_[kill.slot].process != nullptr) slots_[kill.slot].process->signal(SIGKILL);
}

void Supervisor::carry_out(const action::Abort& abort) {
  if (slots_[abort.slot].process == nullptr) return;
  slots_[abort.slot].process->signal(SIGABRT);
  // To one that was stopped a signal other than SIGKILL comes only when it goes on.
  slots_[abort.slot].process->signal(SIGCONT);
}

void Supervisor::carry_out(const action::Drain& drain) {
  if (slots_[drain.slot].process == nullptr) return;
  link::v1::ToWorker message;
  message.mutable_drain()->set_within_ms(static_cast<std::uint64_t>(to_ms(drain.within)));
  slots_[drain.slot].process->send(std::move(message));
}

void Supervisor::carry_out(const action::Finish& /*finish*/) { finished_ = true; }

Status Supervisor::spawn_worker(std::size_t index) {
  Slot& slot = slots_[index];
  slot = Slot();
  const auto config = to_worker_config(options_.config, policy_.slots[index].place, folder_.path(), options_.version);
  const UniqueFd memfd = RS_TRY(rpc::to_memfd(config));
  slot.process =
      RS_TRY(WorkerProcess::spawn(loop_, {options_.worker_program, "--runtime-dir", folder_.path()}, hooks_of(index)));
  slot.pid = slot.process->pid();
  slot.started = clock_.now();
  link::v1::ToWorker message;
  message.mutable_configure();
  const std::array<int, 2> descriptors{memfd.get(), epoch_.fd()};
  const Status sent = slot.process->send_now(message, descriptors);
  // A worker that has died already says why by its exit, which comes next.
  if (!sent.ok() && sent.error().code == Code::kUnavailable) return {};
  return sent;
}

WorkerProcess::Hooks Supervisor::hooks_of(std::size_t index) {
  WorkerProcess::Hooks hooks;
  hooks.said = [this, index](const link::v1::ToSupervisor& message, std::vector<UniqueFd> descriptors) {
    on_said(index, message, std::move(descriptors));
  };
  hooks.link_lost = [this, index](bool broken) {
    apply(broken ? Event(event::LinkBroken{index}) : Event(event::LinkClosed{index}));
  };
  hooks.exited = [this, index](Exit exit) { on_exited(index, exit); };
  return hooks;
}

void Supervisor::on_said(std::size_t index, const link::v1::ToSupervisor& message, std::vector<UniqueFd> descriptors) {
  Slot& slot = slots_[index];
  slot.heard = clock_.now();
  changed_ = true;
  switch (message.message_case()) {
    case link::v1::ToSupervisor::kReady:
      if (descriptors.size() == 1) slot.calls = std::move(descriptors.front());
      apply(event::Ready{index});
      break;
    case link::v1::ToSupervisor::kReport:
      slot.report = message.report();
      meters_.reported(index, slot.report.meters());
      slot.report.clear_meters();
      slot.handed_since_report = 0;
      apply(event::Heartbeat{index, slot.report.progress(), slot.report.calls(), slot.report.rss_bytes()});
      break;
    case link::v1::ToSupervisor::kAdvanceEpoch:
      answer_epoch(index, message.advance_epoch().token());
      break;
    case link::v1::ToSupervisor::kEpochPageMapped:
      epoch_page_mapped(index);
      break;
    case link::v1::ToSupervisor::kFailed:
      log::error("worker {} failed: {}", policy_.slots[index].place, log::printable(message.failed().reason()));
      break;
    case link::v1::ToSupervisor::MESSAGE_NOT_SET:
      break;
  }
}

void Supervisor::answer_epoch(std::size_t index, std::uint64_t token) {
  const bool owed = std::any_of(slots_.begin(), slots_.end(),
                                [](const Slot& slot) { return slot.epoch_page != Slot::EpochPage::kMapped; });
  if (owed) {
    epochs_asked_.emplace_back(index, token);
    return;
  }
  epoch_.advance();
  link::v1::ToWorker answer;
  answer.mutable_epoch_advanced()->set_token(token);
  if (slots_[index].process != nullptr) slots_[index].process->send(std::move(answer));
}

void Supervisor::epoch_page_mapped(std::size_t index) {
  if (std::exchange(slots_[index].epoch_page, Slot::EpochPage::kMapped) == Slot::EpochPage::kMapped) return;
  for (const auto& [slot, token] : std::exchange(epochs_asked_, {})) answer_epoch(slot, token);
}

void Supervisor::send_epoch_page(Slot& slot) {
  link::v1::ToWorker message;
  message.mutable_new_epoch_page();
  const std::array<int, 1> descriptors{epoch_.fd()};
  const Status sent = slot.process->send_now(message, descriptors);
  if (sent.ok()) slot.epoch_page = Slot::EpochPage::kSent;
}

void Supervisor::on_exited(std::size_t index, Exit exit) {
  Slot& slot = slots_[index];
  places_[policy_.slots[index].place].last_exit = to_string(exit);
  const auto gone = std::move(slot.process);
  note_crash(index, exit);
  slot.calls.reset();
  slot.started = SteadyTime::max();
  slot.report.Clear();
  meters_.ended(index, to_string(exit));
  std::erase_if(epochs_asked_, [index](const auto& asked) { return asked.first == index; });
  epoch_page_mapped(index);
  if (!policy_.stopping) handover_.worker_gone(index);
  apply(event::Exited{index, exit});
}

void Supervisor::on_signal(std::string_view name, pid_t sender) {
  log::info("{} from pid {}{}", name, sender, policy_.stopping ? ", again: workers are killed" : ": stopping");
  self_check_.reset();
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
  std::vector<WorkerWord> words;
  const SteadyTime now = clock_.now();
  for (const Slot& slot : slots_) words.push_back({now - slot.heard, slot.report.health()});
  return judge(policy_, words);
}

bool Supervisor::is_ready(std::size_t index) const {
  return index < slots_.size() && policy_.slots[index].phase == Phase::kReady && slots_[index].process != nullptr;
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
  message.mutable_connection()->set_peer_ip(connection.peer_ip);
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
    Slot& slot = slots_[i];
    if (slot.process == nullptr) continue;
    if (slot.epoch_page == Slot::EpochPage::kToSend) send_epoch_page(slot);
    const bool page_waits = slot.epoch_page == Slot::EpochPage::kToSend;
    slot.process->wake_when_writable((!all_handed && is_ready(i)) || page_waits);
  }
  listeners_->accept_for_workers(may_accept());
  policy_timer_.arm(next_deadline(policy_));
  expiry_timer_.arm(handover_.next_expiry());
  if (!loads().empty() && !std::exchange(was_ready_, true)) {
    log::info("READY runtime_dir={} doors={}", folder_.path(), fmt::join(options_.config.doors, ","));
    notifier_.ready();
  }
  if (reloading_ && renewed(policy_)) {
    reloading_ = false;
    notifier_.ready();
    note("reload", "every worker has the new configuration");
  }
  if (std::exchange(changed_, false)) publish();
}

}  // namespace ringside::supervisor
