#pragma once
// sd-event with owners: a source lives as long as its EventSource, and a descriptor leaves epoll when its source goes.
// Keep the source after the descriptor in a class, so that it goes first. One thread, the one that made the loop.
//
// A callback may destroy the source that called it.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/result.h"

struct sd_event;
struct sd_event_source;

namespace ringside::supervisor {

/// Owns one source. Empty by default. Move only.
class EventSource {
 public:
  EventSource();
  EventSource(EventSource&& other) noexcept;
  EventSource& operator=(EventSource&& other) noexcept;
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;
  ~EventSource();

  void reset();
  /// Epoll bits to wait for; 0 waits for nothing. I/O sources only.
  void want(std::uint32_t events);
  /// Fires once at `when`; SteadyTime::max() never. Timers only.
  void arm(SteadyTime when);
  [[nodiscard]] bool armed() const;

 private:
  friend class EventLoop;
  struct Callback;
  sd_event_source* source_ = nullptr;
  std::unique_ptr<Callback> callback_;
};

class EventLoop {
 public:
  static Result<EventLoop> create();
  EventLoop(EventLoop&& other) noexcept;
  EventLoop& operator=(EventLoop&&) = delete;
  ~EventLoop();

  /// `ready` gets the epoll bits. Wants nothing until told by want().
  Result<EventSource> watch(int fd, std::function<void(std::uint32_t events)> ready);
  /// Not armed yet.
  Result<EventSource> timer(std::function<void()> passed);
  /// The signal must be blocked in every thread.
  Result<EventSource> signal(int number, std::function<void(pid_t sender)> came);

  /// Waits for one event and calls its callback.
  Status run_once();

 private:
  explicit EventLoop(sd_event* loop) : loop_(loop) {}
  sd_event* loop_;
};

}  // namespace ringside::supervisor
