#include <algorithm>

#include "supervisor/policy.h"

namespace ringside::supervisor {

PolicyState::PolicyState(PolicyOptions chosen, std::size_t workers, std::uint64_t seed)
    : options(chosen), slots(workers), wanted(workers), random(seed) {
  for (std::size_t i = 0; i < workers; ++i) slots[i].place = static_cast<std::uint32_t>(i);
}

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kBackingOff:
      return "backing off";
    case Phase::kStarting:
      return "starting";
    case Phase::kReady:
      return "ready";
    case Phase::kDraining:
      return "draining";
    case Phase::kEnding:
      return "ending";
    case Phase::kStopped:
      return "stopped";
  }
  return "unknown";
}

std::string to_string(const Exit& exit) {
  return (exit.by_signal ? "signal " : "exit ") + std::to_string(exit.number) + (exit.core ? ", core dumped" : "");
}

SteadyTime next_deadline(const PolicyState& state) {
  SteadyTime next = SteadyTime::max();
  for (const auto& slot : state.slots) next = std::min(next, slot.deadline);
  return next;
}

std::optional<std::size_t> incumbent(const PolicyState& state, std::uint32_t place) {
  for (std::size_t i = 0; i < state.slots.size(); ++i) {
    const SlotState& slot = state.slots[i];
    if (slot.place == place && slot.phase != Phase::kStopped && !slot.leaving && !slot.relieves) return i;
  }
  return std::nullopt;
}

bool broken(const PolicyState& state, const SlotState& slot) {
  return slot.phase != Phase::kStopped && !slot.leaving && slot.failures >= state.options.breaker_after;
}

bool renewed(const PolicyState& state) {
  for (std::uint32_t place = 0; place < state.wanted; ++place) {
    const auto slot = incumbent(state, place);
    if (!slot && state.held.count(place) == 0) return false;
    if (slot && (state.slots[*slot].phase != Phase::kReady || state.slots[*slot].generation != state.generation)) {
      return false;
    }
  }
  return true;
}

}  // namespace ringside::supervisor
