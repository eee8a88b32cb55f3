#include "supervisor/event_loop.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-event.h>

#include <ctime>
#include <utility>

#include "base/check.h"

namespace ringside::supervisor {

/// The functions are shared, so that one that destroys its own source goes on existing until it returns.
struct EventSource::Callback {
  std::shared_ptr<std::function<void(std::uint32_t)>> io;
  std::shared_ptr<std::function<void()>> time;
  std::shared_ptr<std::function<void(pid_t)>> signal;
  SteadyTime armed = SteadyTime::max();

  static int on_io(sd_event_source* /*source*/, int /*fd*/, std::uint32_t events, void* self) {
    const auto call = static_cast<Callback*>(self)->io;
    (*call)(events);
    return 0;
  }
  static int on_time(sd_event_source* /*source*/, std::uint64_t /*usec*/, void* self) {
    const auto call = static_cast<Callback*>(self)->time;
    static_cast<Callback*>(self)->armed = SteadyTime::max();
    (*call)();
    return 0;
  }
  static int on_signal(sd_event_source* /*source*/, const signalfd_siginfo* info, void* self) {
    const auto call = static_cast<Callback*>(self)->signal;
    (*call)(static_cast<pid_t>(info->ssi_pid));
    return 0;
  }
};

EventSource::EventSource() = default;

EventSource::EventSource(EventSource&& other) noexcept
    : source_(std::exchange(other.source_, nullptr)), callback_(std::move(other.callback_)) {}

EventSource& EventSource::operator=(EventSource&& other) noexcept {
  if (this != &other) {
    reset();
    source_ = std::exchange(other.source_, nullptr);
    callback_ = std::move(other.callback_);
  }
  return *this;
}

EventSource::~EventSource() { reset(); }

void EventSource::reset() {
  sd_event_source_disable_unref(std::exchange(source_, nullptr));
  callback_.reset();
}

void EventSource::want(std::uint32_t events) {
  if (source_ == nullptr) return;
  RS_CHECK(events == 0 || sd_event_source_set_io_events(source_, events) >= 0, "what is watched can be watched");
  // Without this a descriptor that hung up would be reported for ever, whatever it is wanted for.
  RS_CHECK(sd_event_source_set_enabled(source_, events == 0 ? SD_EVENT_OFF : SD_EVENT_ON) >= 0,
           "a source can be switched");
}

void EventSource::arm(SteadyTime when) {
  // Setting a timer that has passed already to the same time again would put it behind everything else that is ready.
  if (source_ == nullptr || callback_->armed == when) return;
  callback_->armed = when;
  if (when == SteadyTime::max()) {
    RS_CHECK(sd_event_source_set_enabled(source_, SD_EVENT_OFF) >= 0, "a timer can be switched off");
    return;
  }
  const auto since_boot = std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count();
  // One more than the whole microseconds, so that the deadline has passed when the callback looks.
  const std::uint64_t usec = since_boot < 0 ? 0 : static_cast<std::uint64_t>(since_boot) + 1;
  RS_CHECK(sd_event_source_set_time(source_, usec) >= 0, "a timer can be set");
  RS_CHECK(sd_event_source_set_enabled(source_, SD_EVENT_ONESHOT) >= 0, "a timer can be switched on");
}

bool EventSource::armed() const { return source_ != nullptr && callback_->armed != SteadyTime::max(); }

Result<EventLoop> EventLoop::create() {
  sd_event* loop = nullptr;
  const int failed = sd_event_new(&loop);
  if (failed < 0) return Error{Code::kSystem, -failed, "an event loop cannot be made"};
  return EventLoop(loop);
}

EventLoop::EventLoop(EventLoop&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)) {}

EventLoop::~EventLoop() { sd_event_unref(loop_); }

Result<EventSource> EventLoop::watch(int fd, std::function<void(std::uint32_t)> ready) {
  EventSource out;
  out.callback_ = std::make_unique<EventSource::Callback>();
  out.callback_->io = std::make_shared<std::function<void(std::uint32_t)>>(std::move(ready));
  const int failed =
      sd_event_add_io(loop_, &out.source_, fd, EPOLLIN, &EventSource::Callback::on_io, out.callback_.get());
  if (failed < 0) return Error{Code::kSystem, -failed, "a descriptor cannot be watched"};
  out.want(0);
  return out;
}

Result<EventSource> EventLoop::timer(std::function<void()> passed) {
  constexpr std::uint64_t kAccuracyUs = 1000;
  EventSource out;
  out.callback_ = std::make_unique<EventSource::Callback>();
  out.callback_->time = std::make_shared<std::function<void()>>(std::move(passed));
  const int failed = sd_event_add_time(loop_, &out.source_, CLOCK_MONOTONIC, UINT64_MAX, kAccuracyUs,
                                       &EventSource::Callback::on_time, out.callback_.get());
  if (failed < 0) return Error{Code::kSystem, -failed, "a timer cannot be made"};
  RS_CHECK(sd_event_source_set_enabled(out.source_, SD_EVENT_OFF) >= 0, "a timer can be switched off");
  return out;
}

Result<EventSource> EventLoop::signal(int number, std::function<void(pid_t)> came) {
  EventSource out;
  out.callback_ = std::make_unique<EventSource::Callback>();
  out.callback_->signal = std::make_shared<std::function<void(pid_t)>>(std::move(came));
  const int failed =
      sd_event_add_signal(loop_, &out.source_, number, &EventSource::Callback::on_signal, out.callback_.get());
  if (failed < 0) return Error{Code::kSystem, -failed, "a signal cannot be watched"};
  return out;
}

Status EventLoop::run_once() {
  const int failed = sd_event_run(loop_, UINT64_MAX);
  if (failed < 0) return Error{Code::kSystem, -failed, "the event loop failed"};
  return {};
}

}  // namespace ringside::supervisor
