// A ring whose worker goes away: what the worker has taken it still answers, the rest goes elsewhere at once.

#include <utility>

#include "client/cpp/ring_calls.h"

namespace ringside {

bool RingCalls::leave(std::function<void()> left) {
  const std::lock_guard lock(mutex_);
  if (over_ || (fetches_ == 0 && !end_.owes_answers())) return false;
  leaving_ = true;
  is_over_.store(true, std::memory_order_relaxed);
  rest_ended_ = std::move(left);
  for (Entry* entry : by_slot_) {
    if (entry == nullptr || end_.is_taken(entry->slot, entry->sequence)) continue;
    // Not by this worker; perhaps by one that died before.
    settle(*entry, end_.was_taken(entry->slot, entry->sequence) ? Ended{kMayHaveRun, Loss::kMayHaveRun}
                                                                : Ended{kNeverTaken, Loss::kNeverTaken});
  }
  turns_.call_all();
  late_.call_all();
  tell_left();
  if (led_) end_.wake();
  return true;
}

/// With the mutex, while leaving_.
void RingCalls::tell_left() {
  if (rest_ended_ == nullptr || fetches_ != 0) return;
  for (const Entry* entry : by_slot_) {
    if (entry != nullptr) return;
  }
  std::exchange(rest_ended_, nullptr)();
}

/// With the mutex; it is let go without.
std::shared_ptr<void> RingCalls::hold_for_fetch() {
  ++fetches_;
  return {this, [](RingCalls* calls) {
            const std::lock_guard lock(calls->mutex_);
            --calls->fetches_;
            if (calls->leaving_) calls->tell_left();
          }};
}

}  // namespace ringside
