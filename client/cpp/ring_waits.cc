// Those of a ring's calls that have not begun: they wait for room, or for a worker.

#include <chrono>
#include <condition_variable>
#include <utility>

#include "client/cpp/ring_calls.h"

namespace ringside {

bool RingCalls::may_look(Turn& turn) {
  // Before the look, so that what ends meanwhile is not missed.
  turn.seen = ended_.load(std::memory_order_acquire);
  turn.looked = true;
  if (!turns_.anybody()) return true;
  const std::lock_guard lock(mutex_);
  return turn.looked = turns_.may_look(turn);
}

bool RingCalls::has_turn(const Turn& turn) const {
  const bool news = !turn.looked || ended_.load(std::memory_order_relaxed) != turn.seen;
  return closed() || (news && turns_.is_first(turn));
}

bool RingCalls::wait_for_room(Turn& turn, SteadyTime deadline) {
  std::condition_variable called;
  Lock lock(mutex_);
  ++inside_;
  turns_.enter(turn);
  if (!has_turn(turn)) {
    bool mine = false;
    turns_.wait(turn, SteadyTime::max(), [&] {
      mine = true;
      called.notify_one();
    });
    called.wait_until(lock, deadline, [&] { return mine; });
    turns_.wait(turn, SteadyTime::max(), nullptr);
  }
  --inside_;
  if (closing_) left_.notify_all();
  return std::chrono::steady_clock::now() < deadline;
}

void RingCalls::when_room(Turn& turn, SteadyTime deadline, std::function<void()> then) {
  const std::lock_guard lock(mutex_);
  turns_.enter(turn);
  wait_on_reaper(turns_, turn, deadline, std::move(then));
  if (closed()) {
    turns_.call_all();
  } else if (has_turn(turn)) {
    turns_.call_first();
  }
}

void RingCalls::when_late(Turn& turn, SteadyTime deadline, std::function<void()> then) {
  const std::lock_guard lock(mutex_);
  late_.enter(turn);
  wait_on_reaper(late_, turn, deadline, std::move(then));
  if (closed()) late_.call_all();
}

void RingCalls::wait_on_reaper(RingTurns& line, const Turn& turn, SteadyTime deadline, std::function<void()> then) {
  start_reaper();
  line.wait(turn, deadline, [this, then = std::move(then)] {
    due_.push_back(then);
    reaper_wanted_.notify_one();
    nudge_reaper();
  });
  reaper_wanted_.notify_one();  // it may have an earlier deadline to watch now
  nudge_reaper();
}

void RingCalls::leave_late(Turn& turn) {
  if (turn.ticket == 0) return;
  const std::lock_guard lock(mutex_);
  late_.leave(turn);
}

void RingCalls::leave(Turn& turn) {
  if (turn.ticket == 0) return;
  const std::lock_guard lock(mutex_);
  turns_.leave(turn);
}

void RingCalls::look_again() {
  const std::lock_guard lock(mutex_);
  turns_.call_all();
  late_.call_all();
}

}  // namespace ringside
