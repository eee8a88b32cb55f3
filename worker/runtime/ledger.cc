#include "worker/runtime/ledger.h"

#include <utility>

namespace ringside::worker {

void Ledger::begin(Door door) {
  by_door_[static_cast<std::size_t>(door)].fetch_add(1, std::memory_order_relaxed);
  under_way_.fetch_add(1, std::memory_order_relaxed);
}

void Ledger::answer(const std::shared_ptr<Call>& call, mcp::Response response) {
  call->answer(std::move(response));
  under_way_.fetch_sub(1, std::memory_order_relaxed);
}

void Ledger::end(const std::shared_ptr<Call>& call) {
  call->end();
  under_way_.fetch_sub(1, std::memory_order_relaxed);
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

}  // namespace ringside::worker
