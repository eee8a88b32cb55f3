#include "worker/runtime/event_writer.h"

#include <utility>

#include "base/log.h"

namespace ringside::worker {
namespace {

constexpr std::int64_t kExpireEveryMs = 60'000;

}  // namespace

EventWriter::EventWriter(std::unique_ptr<EventLog> log, std::int64_t ttl_ms, const Clock& clock)
    : log_(std::move(log)), ttl_ms_(ttl_ms), clock_(clock), thread_([this] { run(); }) {}

void EventWriter::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ending_, true)) return;
  }
  wake_.notify_one();
  thread_.join();
}

void EventWriter::write(StreamHead head, LoggedEvent event) {
  const std::int64_t now_ms = clock_.wall_ms();
  {
    const std::lock_guard lock(mutex_);
    if (ending_ || waiting_bytes_ > kMostWaiting) return;
    waiting_bytes_ += event.data.size();
    events_.push_back({std::move(head), std::move(event), now_ms});
  }
  wake_.notify_one();
}

void EventWriter::add(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return;
    work_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void EventWriter::replay(std::string session, std::string token, std::uint64_t after, Replayed replayed) {
  add([this, session = std::move(session), token = std::move(token), after, replayed = std::move(replayed)] {
    replayed(log_->replay(session, token, after));
  });
}

void EventWriter::erase(std::string session) {
  // A failure is logged, and what is left expires.
  add([this, session = std::move(session)] { static_cast<void>(log_->erase(session).ok()); });
}

void EventWriter::expire_now_and_then() {
  const std::int64_t now_ms = clock_.wall_ms();
  if (now_ms - expired_at_ms_ < kExpireEveryMs) return;
  expired_at_ms_ = now_ms;
  static_cast<void>(log_->expire(now_ms - ttl_ms_).ok());
}

void EventWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return ending_ || !events_.empty() || !work_.empty(); });
    if (ending_ && events_.empty() && work_.empty()) return;
    const std::vector<EventWrite> events = std::exchange(events_, {});
    const std::vector<std::function<void()>> work = std::exchange(work_, {});
    waiting_bytes_ = 0;
    lock.unlock();
    // Lost if it fails, which has been logged: whoever wants them later is told that they are gone.
    if (!events.empty()) static_cast<void>(log_->append(events).ok());
    for (const auto& each : work) each();
    expire_now_and_then();
    lock.lock();
  }
}

}  // namespace ringside::worker
