#pragma once
// The last events of this Ringside, each with a number, for `ringside events`. Thread-safe: the loop writes, gRPC's
// threads read and follow.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "ringside/control/v1/control.pb.h"

namespace ringside::supervisor {

class EventBook {
 public:
  static constexpr std::size_t kKept = 500;

  /// `clock` outlives the book.
  explicit EventBook(const Clock& clock) : clock_(clock) {}

  /// Gives it the next number and the time, and tells those who follow.
  void add(control::v1::Event event);
  /// Takes up a book that was kept by the program before; for a book that is empty.
  void resume(std::vector<control::v1::Event> events);
  [[nodiscard]] std::vector<control::v1::Event> all() const;
  /// The first with a number above `after`.
  [[nodiscard]] std::optional<control::v1::Event> next(std::uint64_t after) const;

  /// `added` is called after each add(), on its thread and without locks, until unfollow().
  std::uint64_t follow(std::function<void()> added);
  /// `added` may run one last time while this returns.
  void unfollow(std::uint64_t token);

 private:
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::deque<control::v1::Event> events_;
  std::uint64_t next_token_ = 1;
  std::map<std::uint64_t, std::shared_ptr<std::function<void()>>> followers_;
};

}  // namespace ringside::supervisor
