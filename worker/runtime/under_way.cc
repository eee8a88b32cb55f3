#include "worker/runtime/under_way.h"

#include <utility>

namespace ringside::worker {

std::uint64_t UnderWay::add(const std::string& session, std::string_view raw_id, std::function<void()> cancel) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t number = next_++;
  calls_[{session, std::string(raw_id)}] = {number, std::move(cancel)};
  return number;
}

void UnderWay::remove(const std::string& session, std::string_view raw_id, std::uint64_t number) {
  Entry removed;  // freed after the lock
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find({session, std::string(raw_id)});
  if (found == calls_.end() || found->second.number != number) return;
  removed = std::move(found->second);
  calls_.erase(found);
}

bool UnderWay::cancel(const std::string& session, std::string_view raw_id) {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find({session, std::string(raw_id)});
    if (found == calls_.end()) return false;
    hook = std::move(found->second.cancel);
    calls_.erase(found);
  }
  hook();
  return true;
}

}  // namespace ringside::worker
