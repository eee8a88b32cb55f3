#include <unistd.h>

#include <utility>

#include "base/log.h"
#include "supervisor/crash_report.h"
#include "supervisor/supervisor.h"

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

std::int64_t to_ms(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

void Supervisor::carry_out(const action::Announce& announce) {
  const Slot* slot = announce.slot < slots_.size() ? &slots_[announce.slot] : nullptr;
  const pid_t pid = slot != nullptr && slot->process != nullptr ? slot->process->pid() : 0;
  const std::uint32_t place = policy_.slots[announce.slot].place;
  std::string why(announce.why);
  if (announce.exit) why += " exit=\"" + to_string(*announce.exit) + "\"";
  if (announce.to == Phase::kBackingOff) why += " again_in_ms=" + std::to_string(to_ms(announce.in));
  const std::string line = "worker " + std::to_string(place) + " " + std::string(to_string(announce.to)) + ": " + why +
                           (pid == 0 ? "" : " pid=" + std::to_string(pid)) + " before=\"" +
                           std::string(to_string(announce.from)) + "\"";
  if (announce.expected) {
    log::info("{}", line);
  } else {
    log::warn("{}", line);
  }
  control::v1::Event event;
  event.set_kind("worker");
  event.set_worker(place);
  event.set_pid(pid);
  event.set_from(std::string(to_string(announce.from)));
  event.set_to(std::string(to_string(announce.to)));
  event.set_text(std::move(why));
  book_.add(std::move(event));
}

void Supervisor::note(std::string_view kind, std::string text) {
  control::v1::Event event;
  event.set_kind(std::string(kind));
  event.set_text(std::move(text));
  book_.add(std::move(event));
}

void Supervisor::note_crash(std::size_t index, Exit exit) {
  const SlotState& decided = policy_.slots[index];
  const bool asked_for = decided.leaving || decided.planned || policy_.stopping;
  if (asked_for || decided.phase == Phase::kBackingOff) return;
  Slot& slot = slots_[index];
  control::v1::Crash crash;
  crash.set_unix_ms(static_cast<std::uint64_t>(clock_.wall_ms()));
  crash.set_pid(slot.pid);
  crash.set_exit(to_string(exit));
  crash.set_core(exit.core);
  if (slot.calls) read_calls_under_way(slot.calls.get(), clock_.now(), crash);
  log::warn("worker {} crashed pid={} exit=\"{}\" calls_under_way={}", decided.place, slot.pid, to_string(exit),
            crash.calls_under_way());
  control::v1::Event event;
  event.set_kind("crash");
  event.set_worker(decided.place);
  event.set_pid(slot.pid);
  event.set_text("exit=\"" + to_string(exit) + "\" calls_under_way=" + std::to_string(crash.calls_under_way()));
  *event.mutable_crash() = crash;
  book_.add(std::move(event));
  places_[decided.place].last_crash = std::move(crash);
}

void Supervisor::tell_worker(std::size_t index, Worker& worker) const {
  const Slot& slot = slots_[index];
  const SlotState& decided = policy_.slots[index];
  worker.set_index(decided.place);
  worker.set_pid(slot.process == nullptr ? 0 : slot.process->pid());
  worker.set_state(state_of(decided.phase));
  const auto starts = policy_.starts.find(decided.place);
  worker.set_restarts(starts == policy_.starts.end() ? 0 : starts->second - 1);
  worker.set_connections_handed(slot.handed);
  *worker.mutable_report() = slot.report;
  worker.set_generation(decided.generation);
  worker.set_failures(decided.failures);
  worker.set_circuit_open(broken(policy_, decided));
  const auto place = places_.find(decided.place);
  if (place == places_.end()) return;
  worker.set_last_exit(place->second.last_exit);
  if (place->second.last_crash.pid() != 0) *worker.mutable_last_crash() = place->second.last_crash;
}

void Supervisor::publish() {
  Snapshot snapshot;
  auto& status = snapshot.status;
  status.set_version(options_.version);
  status.set_pid(::getpid());
  status.set_runtime_dir(folder_.path());
  for (const auto& door : options_.config.doors) status.add_doors(door);
  status.set_workers_wanted(static_cast<std::uint32_t>(policy_.wanted));
  for (const auto& [socket, count] : listeners_->refused()) (*status.mutable_refused_peers())[socket] = count;
  status.set_generation(policy_.generation);
  status.set_renewing(!renewed(policy_));
  status.set_upgrades(upgrades_);
  if (last_reload_) *status.mutable_last_reload() = *last_reload_;
  snapshot.started = started_;
  std::uint64_t rings = 0;
  // By place; who relieves or leaves comes after who serves there.
  std::multimap<std::pair<std::uint32_t, bool>, std::size_t> order;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const SlotState& decided = policy_.slots[i];
    if (decided.phase == Phase::kStopped && !policy_.stopping) continue;
    order.emplace(std::pair(decided.place, incumbent(policy_, decided.place) != i), i);
  }
  for (const auto& [key, i] : order) {
    tell_worker(i, *status.add_workers());
    snapshot.slots.push_back(i);
    snapshot.workers_started.push_back(slots_[i].started);
    rings += slots_[i].report.rings();
  }
  snapshot.health = health();
  const std::string& looping = snapshot.health.looping;
  notifier_.status(status_line(loads().size(), policy_.wanted, rings) +
                   (looping.empty() ? "" : ", " + looping + " in a crash loop"));
  snapshot.meters = meters_.view();
  control_->publish(std::move(snapshot));
}

}  // namespace ringside::supervisor
