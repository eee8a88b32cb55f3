#include "client/cpp/ring_turns.h"

#include <algorithm>
#include <utility>

namespace ringside {

bool RingTurns::may_look(const Turn& turn) {
  if (line_.empty()) return true;
  if (turn.ticket != 0) return is_first(turn);
  return passed_ < kMostPassing && ++passed_ != 0;
}

void RingTurns::enter(Turn& turn) {
  if (turn.ticket != 0) return;
  turn.ticket = next_ticket_++;
  line_.emplace_hint(line_.end(), turn.ticket, Place{});
  waiting_.store(line_.size(), std::memory_order_relaxed);
}

void RingTurns::wait(const Turn& turn, SteadyTime deadline, std::function<void()> called) {
  line_.at(turn.ticket) = {deadline, std::move(called)};
}

void RingTurns::leave(Turn& turn) {
  const bool first = is_first(turn);
  line_.erase(std::exchange(turn.ticket, 0));
  waiting_.store(line_.size(), std::memory_order_relaxed);
  if (!first) return;
  passed_ = 0;
  call_first();
}

void RingTurns::call_first() {
  if (line_.empty()) return;
  if (const auto called = std::exchange(line_.begin()->second, Place{}).called) called();
}

void RingTurns::call_all() { expire(SteadyTime::max()); }

void RingTurns::expire(SteadyTime time) {
  for (auto& [ticket, place] : line_) {
    if (place.deadline > time) continue;
    if (const auto called = std::exchange(place, Place{}).called) called();
  }
}

SteadyTime RingTurns::next_deadline() const {
  SteadyTime next = SteadyTime::max();
  for (const auto& [ticket, place] : line_) next = std::min(next, place.deadline);
  return next;
}

}  // namespace ringside
