#include "worker/runtime/ledger.h"

#include <utility>

namespace ringside::worker {

void Ledger::begin(Door door) {
  by_door_[static_cast<std::size_t>(door)].fetch_add(1, std::memory_order_relaxed);
  under_way_.fetch_add(1, std::memory_order_relaxed);
}

void Ledger::answer(const std::shared_ptr<Call>& call, mcp::Response response) {
  call->answer(std::move(response));
  // seq_cst here and in when_idle(): either the last answer sees who waits, or the waiter sees that nothing is under
  // way.
  if (under_way_.fetch_sub(1) == 1 && awaited_.load()) tell_if_idle();
}

RuntimeStats Ledger::stats() const {
  RuntimeStats stats;
  for (std::size_t door = 0; door < kDoorCount; ++door) {
    stats.by_door.at(door) = by_door_.at(door).load(std::memory_order_relaxed);
    stats.calls += stats.by_door.at(door);
  }
  stats.under_way = under_way_.load(std::memory_order_relaxed);
  return stats;
}

void Ledger::when_idle(std::function<void()> idle) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(idle));
    awaited_.store(true);
  }
  if (under_way_.load() == 0) tell_if_idle();
}

void Ledger::tell_if_idle() {
  std::vector<std::function<void()>> told;
  {
    const std::lock_guard lock(mutex_);
    if (under_way_.load() != 0) return;
    awaited_.store(false);
    told.swap(waiting_);
  }
  for (const auto& idle : told) idle();
}

}  // namespace ringside::worker
