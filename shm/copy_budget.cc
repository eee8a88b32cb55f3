#include "shm/copy_budget.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace ringside::shm {

CopyBudget::Line::iterator CopyBudget::find(const void* ring) {
  return std::find_if(line_.begin(), line_.end(), [ring](const Place& place) { return place.ring == ring; });
}

CopyBudget::Turn CopyBudget::next_turn() const {
  return !line_.empty() && fits(line_.front().bytes) ? line_.front().turn : Turn();
}

void CopyBudget::remove(const Line::iterator& place) {
  line_.erase(place);
  waiting_.store(line_.size(), std::memory_order_relaxed);
}

bool CopyBudget::take(const void* ring, std::size_t bytes, bool holds_nothing, const Turn& turn) {
  Turn next;
  {
    const std::lock_guard lock(mutex_);
    const auto place = find(ring);
    const bool waits = place != line_.end();
    const bool first = line_.empty() || place == line_.begin();
    const bool impatient = waits && holds_nothing && place->due == SteadyTime::max();
    if (!impatient && !(first && fits(bytes))) {
      if (waits) {
        place->bytes = bytes;
      } else {
        line_.push_back({ring, bytes, std::chrono::steady_clock::now() + patience_, turn});
        waiting_.store(line_.size(), std::memory_order_relaxed);
      }
      return false;
    }
    if (waits) remove(place);
    used_ += bytes;
    next = next_turn();
  }
  if (next) next();
  return true;
}

void CopyBudget::leave(const void* ring) {
  Turn next;
  {
    const std::lock_guard lock(mutex_);
    const auto place = find(ring);
    if (place == line_.end()) return;
    remove(place);
    next = next_turn();
  }
  if (next) next();
}

void CopyBudget::give(std::size_t bytes) {
  Turn next;
  {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
    next = next_turn();
  }
  if (next) next();
}

SteadyTime CopyBudget::next_due() const {
  const std::lock_guard lock(mutex_);
  SteadyTime next = SteadyTime::max();
  for (const Place& place : line_) next = std::min(next, place.due);
  return next;
}

void CopyBudget::expire(SteadyTime time) {
  std::vector<Turn> turns;
  {
    const std::lock_guard lock(mutex_);
    for (Place& place : line_) {
      if (place.due > time || place.due == SteadyTime::max()) continue;
      place.due = SteadyTime::max();
      turns.push_back(place.turn);
    }
  }
  for (const Turn& turn : turns) turn();
}

bool CopyBudget::take_answer(std::size_t bytes, bool anyway) {
  const std::size_t before = answers_.fetch_add(bytes, std::memory_order_relaxed);
  if (anyway || before == 0 || before + bytes <= most_) return true;
  give_answer(bytes);
  return false;
}

}  // namespace ringside::shm
