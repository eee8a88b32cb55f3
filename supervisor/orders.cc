#include <algorithm>
#include <csignal>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "supervisor/supervisor.h"

namespace ringside::supervisor {
namespace {

constexpr std::uint32_t kMostWorkers = 64;
/// What an answer to `ringside upgrade` is given to reach its client.
constexpr Duration kAnswerFirst = std::chrono::milliseconds(50);

std::int64_t to_ns(SteadyTime time) { return std::chrono::nanoseconds(time.time_since_epoch()).count(); }
SteadyTime from_ns(std::int64_t ns) { return SteadyTime(std::chrono::nanoseconds(ns)); }

control::v1::OrderResponse refused(const std::vector<std::string>& faults) {
  control::v1::OrderResponse response;
  for (const auto& fault : faults) response.add_faults(fault);
  return response;
}

}  // namespace

control::v1::OrderResponse Supervisor::accepted() const {
  control::v1::OrderResponse response;
  response.set_accepted(true);
  response.set_generation(policy_.generation);
  return response;
}

std::vector<std::string> Supervisor::refusal_of(const Order& order) const {
  if (policy_.stopping) return {"ringsided is stopping"};
  if (self_check_ != nullptr || upgrade_timer_.armed()) return {"an upgrade is under way"};
  if (const auto* resize = std::get_if<order::SetWorkers>(&order)) {
    if (resize->workers >= 1 && resize->workers <= kMostWorkers) return {};
    return {"the number of workers is 1 to " + std::to_string(kMostWorkers)};
  }
  std::optional<std::uint32_t> index;
  if (const auto* drain = std::get_if<order::DrainWorker>(&order)) index = drain->index;
  if (const auto* restart = std::get_if<order::RestartWorker>(&order)) index = restart->index;
  if (!index) return {};
  if (*index >= policy_.wanted) {
    return {"there is no worker " + std::to_string(*index) + "; they are 0 to " + std::to_string(policy_.wanted - 1)};
  }
  if (!std::holds_alternative<order::DrainWorker>(order)) return {};
  const auto serves = [&](const SlotState& slot) { return slot.phase == Phase::kReady && slot.place != *index; };
  if (std::any_of(policy_.slots.begin(), policy_.slots.end(), serves)) return {};
  return {"no other worker is ready, so nobody would serve; to stop Ringside, stop ringsided"};
}

void Supervisor::take(const Order& order, const OrderAnswer& answer) {
  const auto faults = refusal_of(order);
  for (const auto& fault : faults) log::warn("an order is refused: {}", fault);
  if (!faults.empty()) return answer(refused(faults));
  if (std::holds_alternative<order::Reload>(order)) return reload(answer);
  if (std::holds_alternative<order::Upgrade>(order)) return upgrade(answer);
  if (const auto* resize = std::get_if<order::SetWorkers>(&order)) {
    note("supervisor", "an operator wants " + std::to_string(resize->workers) + " workers");
    apply(event::Resize{resize->workers});
  }
  if (const auto* drain = std::get_if<order::DrainWorker>(&order)) apply(event::Retire{drain->index});
  if (const auto* restart = std::get_if<order::RestartWorker>(&order)) apply(event::Restart{restart->index});
  publish();  // whoever has the answer and asks for the status finds the order in it
  answer(accepted());
}

void Supervisor::reload(const OrderAnswer& answer) {
  notifier_.reloading();
  LoadedConfig loaded = options_.load();
  for (const auto& warning : loaded.warnings) log::warn("{}", warning);
  auto faults = std::move(loaded.errors);
  loaded.errors.clear();
  if (faults.empty()) faults = put_in_force(std::move(loaded));
  last_reload_.emplace();
  last_reload_->set_unix_ms(static_cast<std::uint64_t>(clock_.wall_ms()));
  last_reload_->set_in_force(faults.empty());
  for (const auto& fault : faults) last_reload_->add_faults(fault);
  changed_ = true;
  if (faults.empty()) {
    log::info("the configuration is read again and in force generation={}", policy_.generation);
    note("reload", "in force; workers are relieved");
    reloading_ = true;
    publish();
    return answer(accepted());
  }
  for (const auto& fault : faults) log::error("reload refused, nothing has changed: {}", fault);
  note("reload", "refused: " + faults.front());
  if (was_ready_) notifier_.ready();
  publish();
  answer(refused(faults));
}

std::vector<std::string> Supervisor::put_in_force(LoadedConfig loaded) {
  const auto specs = listeners_for(loaded.config.doors, loaded.config.edge);
  const Status changed = listeners_->change(loop_, folder_, specs, loaded.config.peers);
  if (!changed.ok()) {
    const auto before = listeners_for(options_.config.doors, options_.config.edge);
    if (!listeners_->change(loop_, folder_, before, options_.config.peers).ok()) log::error("a socket is lost");
    return {std::string(changed.error().message) + ": " + std::generic_category().message(changed.error().os_error)};
  }
  log::set_level(loaded.config.log_level);
  options_.config = std::move(loaded.config);
  apply(event::Renew{options_.config.lives, options_.config.workers});
  return {};
}

void Supervisor::upgrade(const OrderAnswer& answer) {
  auto started = SelfCheck::start(loop_, clock_, options_.argv, [this, answer](const std::vector<std::string>& faults) {
    const auto over = std::move(self_check_);
    for (const auto& fault : faults) log::error("upgrade refused, nothing has changed: {}", fault);
    if (!faults.empty()) {
      note("upgrade", "refused: " + faults.front());
      return answer(refused(faults));
    }
    auto response = accepted();
    response.set_generation(policy_.generation + 1);
    answer(std::move(response));
    upgrade_timer_.arm(clock_.now() + kAnswerFirst);
  });
  if (started.ok()) {
    self_check_ = std::move(started).value();
    return;
  }
  const std::string fault =
      std::string(started.error().message) + ": " + std::generic_category().message(started.error().os_error);
  log::error("upgrade refused, nothing has changed: {}", fault);
  note("upgrade", "refused: " + fault);
  answer(refused({fault}));
}

void Supervisor::leave_to_next_program() {
  if (policy_.stopping) return;
  log::info("the program takes its own place program={} version={}", options_.argv.front(), options_.version);
  notifier_.reloading();
  note("upgrade", "version " + options_.version + " leaves to " + options_.argv.front());
  const Error failed = replace_program(options_.argv, inheritance());
  log::error("upgrade failed, this program goes on: {} error={}", failed.message,
             std::generic_category().message(failed.os_error));
  note("upgrade", "failed: " + std::string(failed.message));
  notifier_.ready();
}

upgrade::v1::Inheritance Supervisor::inheritance() const {
  upgrade::v1::Inheritance left;
  left.set_lock_fd(folder_.lock_fd());
  left.set_epoch_fd(epoch_.fd());
  left.set_generation(policy_.generation);
  left.set_upgrades(upgrades_);
  left.set_started_ns(to_ns(started_));
  left.set_from_version(options_.version);
  for (const std::uint32_t place : policy_.held) left.add_held_places(place);
  for (const auto& open : listeners_->open_sockets()) {
    auto* socket = left.add_sockets();
    socket->set_file(open.file);
    socket->set_fd(open.fd);
    socket->set_ours(open.ours);
  }
  for (const auto& accepted : handover_.those_waiting()) {
    auto* connection = left.add_waiting();
    connection->set_fd(accepted.fd.get());
    connection->set_door(static_cast<std::uint32_t>(accepted.door));
    connection->set_peer_pid(accepted.peer_pid);
    connection->set_peer_uid(accepted.peer_uid);
    connection->set_peer_ip(accepted.peer_ip);
  }
  for (auto& event : book_.all()) *left.add_events() = std::move(event);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    const SlotState& decided = policy_.slots[i];
    if (slot.process == nullptr) continue;
    auto* worker = left.add_workers();
    worker->set_pid(slot.process->pid());
    worker->set_pidfd(slot.process->pidfd());
    worker->set_link_fd(slot.process->link_fd());
    worker->set_calls_fd(slot.calls.get());
    worker->set_place(decided.place);
    worker->set_generation(decided.generation);
    worker->set_phase(static_cast<std::uint32_t>(decided.phase));
    worker->set_deadline_ns(to_ns(decided.deadline));
    if (decided.ready_since) worker->set_ready_since_ns(to_ns(*decided.ready_since));
    worker->set_failures(decided.failures);
    *worker->mutable_meters() = meters_.of(i);
    // Who relieves another is started again by the next program, with its own configuration.
    worker->set_leaving(decided.leaving || decided.relieves.has_value());
    worker->set_planned(decided.planned);
    worker->set_started_ns(to_ns(slot.started));
    worker->set_handed(slot.handed);
    for (auto& bytes : slot.process->unsent()) worker->add_unsent(std::move(bytes));
  }
  for (const auto& [place, starts] : policy_.starts) (*left.mutable_starts())[place] = starts;
  left.mutable_refused_peers()->insert(listeners_->refused().begin(), listeners_->refused().end());
  meters_.leave(*left.mutable_meters(), *left.mutable_worker_exits());
  for (const auto& [place, known] : places_) {
    for (auto& worker : *left.mutable_workers()) {
      if (worker.place() == place) worker.set_last_exit(known.last_exit);
    }
  }
  return left;
}

Status Supervisor::take_over(const upgrade::v1::Inheritance& left) {
  started_ = from_ns(left.started_ns());
  upgrades_ = left.upgrades() + 1;
  was_ready_ = reloading_ = true;
  book_.resume({left.events().begin(), left.events().end()});
  note("upgrade", "version " + options_.version + " takes the place of " + left.from_version());
  policy_.slots.clear();
  policy_.generation = left.generation();
  policy_.held = {left.held_places().begin(), left.held_places().end()};
  policy_.starts = {left.starts().begin(), left.starts().end()};
  listeners_->count_from({left.refused_peers().begin(), left.refused_peers().end()});
  meters_.take_up(left.meters(), left.worker_exits());
  slots_.resize(static_cast<std::size_t>(left.workers_size()));
  for (const auto& from : left.workers()) {
    const std::size_t index = policy_.slots.size();
    SlotState& decided = policy_.slots.emplace_back();
    Slot& slot = slots_[index];
    decided.phase = static_cast<Phase>(from.phase());
    decided.place = from.place();
    decided.generation = from.generation();
    decided.failures = from.failures();
    decided.leaving = from.leaving();
    decided.planned = from.planned();
    if (from.ready_since_ns() != 0) decided.ready_since = from_ns(from.ready_since_ns());
    decided.deadline =
        decided.phase == Phase::kReady ? clock_.now() + policy_.options.stuck_within : from_ns(from.deadline_ns());
    slot.started = from_ns(from.started_ns());
    slot.handed = from.handed();
    if (from.calls_fd() >= 0) slot.calls.reset(from.calls_fd());
    meters_.reported(index, from.meters());
    places_[from.place()].last_exit = from.last_exit();
    WorkerProcess::Inherited process{from.pid(), UniqueFd(from.pidfd()), UniqueFd(from.link_fd()), {}};
    process.unsent.assign(from.unsent().begin(), from.unsent().end());
    slot.process = RS_TRY(WorkerProcess::inherit(loop_, std::move(process), hooks_of(index)));
    slot.pid = from.pid();
    if (from.link_fd() >= 0) slot.epoch_page = Slot::EpochPage::kToSend;
  }
  for (const auto& from : left.waiting()) {
    handover_.offer({UniqueFd(from.fd()), static_cast<link::v1::Connection::Door>(from.door()), from.peer_pid(),
                     from.peer_uid(), from.peer_ip()});
  }
  // One that was left while it started and is wanted no more ends now; its end is no failure.
  for (std::size_t i = 0; i < policy_.slots.size(); ++i) {
    const SlotState& decided = policy_.slots[i];
    if (!decided.leaving || (decided.phase != Phase::kStarting && decided.phase != Phase::kReady)) continue;
    slots_[i].process->signal(SIGKILL);
  }
  return {};
}

}  // namespace ringside::supervisor
