#pragma once
// Keeps what streams say in the event log, on a thread of its own: whoever says it does not wait for a disk. What is
// read back comes behind all that was said before.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "worker/store/store.h"

namespace ringside::worker {

/// Thread-safe.
class EventWriter {
 public:
  /// While more waits to be written, events are not kept: a client that comes back is told that they are gone.
  static constexpr std::size_t kMostWaiting = 64ULL << 20U;

  /// `clock` outlives it.
  EventWriter(std::unique_ptr<EventLog> log, std::int64_t ttl_ms, const Clock& clock);
  ~EventWriter() { stop(); }
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  /// Writes what waits, and nothing after that. Not from the writer's thread; before the last of its holders may go
  /// away there.
  void stop();
  void write(StreamHead head, LoggedEvent event);
  using Replayed = std::function<void(Result<std::optional<Replay>>)>;
  /// `replayed` runs on the writer's thread. It must not keep the writer alive.
  void replay(std::string session, std::string token, std::uint64_t after, Replayed replayed);
  void erase(std::string session);

 private:
  void run();
  void add(std::function<void()> work);
  void expire_now_and_then();

  const std::unique_ptr<EventLog> log_;
  const std::int64_t ttl_ms_;
  const Clock& clock_;
  std::int64_t expired_at_ms_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<EventWrite> events_;           // to be written before the work below
  std::vector<std::function<void()>> work_;  // in the order of events_ only by emptying them first
  std::size_t waiting_bytes_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace ringside::worker
