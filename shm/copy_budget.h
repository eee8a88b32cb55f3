#pragma once
// What the rings of one worker may hold in private memory for bodies in parts, all together. Requests beyond wait in
// line for their turn, the first who came first; answers beyond go another way. A ring that holds nothing does not wait
// for ever: once its patience has ended it may have one body more than there is room for, so that no client can starve
// another by beginning bodies that it never ends.
//
// Thread-safe. A turn may be called by any thread, with the mutex of another ring held: it only tells somebody.

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

#include "base/clock.h"

namespace ringside::shm {

class CopyBudget {
 public:
  using Turn = std::function<void()>;

  /// `most` bytes of requests, and as much of answers.
  CopyBudget(std::size_t most, Duration patience) : most_(most), patience_(patience) {}
  CopyBudget(const CopyBudget&) = delete;
  CopyBudget& operator=(const CopyBudget&) = delete;

  /// Takes so much for a request. False: `ring` stands in line now, and `turn` runs when it shall ask again.
  [[nodiscard]] bool take(const void* ring, std::size_t bytes, bool holds_nothing, const Turn& turn);
  /// The ring stands in line no more.
  void leave(const void* ring);
  void give(std::size_t bytes);

  /// One relaxed load.
  [[nodiscard]] bool anybody_waits() const { return waiting_.load(std::memory_order_relaxed) != 0; }
  /// When the next one's patience ends.
  [[nodiscard]] SteadyTime next_due() const;
  /// Calls those whose patience has ended by `time`.
  void expire(SteadyTime time);

  /// The same for an answer, which does not wait. False: it may not be taken now. `anyway`: it is taken, room or not.
  [[nodiscard]] bool take_answer(std::size_t bytes, bool anyway = false);
  void give_answer(std::size_t bytes) { answers_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  struct Place {
    const void* ring;
    std::size_t bytes;
    SteadyTime due;  // max: it has ended
    Turn turn;
  };
  using Line = std::deque<Place>;
  [[nodiscard]] Line::iterator find(const void* ring);
  /// What does not fit at all comes alone.
  [[nodiscard]] bool fits(std::size_t bytes) const { return used_ == 0 || used_ + bytes <= most_; }
  /// The first one's turn, if there is room for it.
  [[nodiscard]] Turn next_turn() const;
  void remove(const Line::iterator& place);

  const std::size_t most_;
  const Duration patience_;
  std::atomic<std::size_t> answers_{0};
  std::atomic<std::size_t> waiting_{0};  // line_.size()
  mutable std::mutex mutex_;
  std::size_t used_ = 0;
  Line line_;
};

}  // namespace ringside::shm
