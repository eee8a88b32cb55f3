#include "supervisor/event_book.h"

#include <algorithm>
#include <utility>

namespace ringside::supervisor {

void EventBook::add(control::v1::Event event) {
  std::vector<std::shared_ptr<std::function<void()>>> followers;
  {
    const std::lock_guard lock(mutex_);
    event.set_sequence(++last_);
    event.set_unix_ms(static_cast<std::uint64_t>(clock_.wall_ms()));
    events_.push_back(std::move(event));
    if (events_.size() > kKept) events_.pop_front();
    for (const auto& [token, follower] : followers_) followers.push_back(follower);
  }
  for (const auto& follower : followers) (*follower)();
}

void EventBook::resume(std::vector<control::v1::Event> events) {
  const std::lock_guard lock(mutex_);
  for (auto& event : events) {
    last_ = event.sequence();
    events_.push_back(std::move(event));
  }
}

std::vector<control::v1::Event> EventBook::all() const {
  const std::lock_guard lock(mutex_);
  return {events_.begin(), events_.end()};
}

std::optional<control::v1::Event> EventBook::next(std::uint64_t after) const {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(events_.begin(), events_.end(), [after](const auto& event) { return event.sequence() > after; });
  if (found == events_.end()) return std::nullopt;
  return *found;
}

std::uint64_t EventBook::follow(std::function<void()> added) {
  const std::lock_guard lock(mutex_);
  followers_[next_token_] = std::make_shared<std::function<void()>>(std::move(added));
  return next_token_++;
}

void EventBook::unfollow(std::uint64_t token) {
  const std::lock_guard lock(mutex_);
  followers_.erase(token);
}

}  // namespace ringside::supervisor
