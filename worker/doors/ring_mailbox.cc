#include "worker/doors/ring_mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ringside::worker {

Status RingMailbox::open() {
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return Error{Code::kSystem, errno, "an eventfd cannot be made"};
  return {};
}

void RingMailbox::wake() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, which wakes the thread just as well.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void RingMailbox::post(Newcomer newcomer) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    mail_.newcomers.push_back(std::move(newcomer));
  }
  wake();
}

void RingMailbox::look_at(std::uint64_t serial) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    mail_.look_at.push_back(serial);
  }
  wake();
}

void RingMailbox::drain(std::function<void()> drained) {
  {
    const std::lock_guard lock(mutex_);
    mail_.drained = std::move(drained);
  }
  wake();
}

void RingMailbox::run(std::function<void()> what) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    mail_.run.push_back(std::move(what));
  }
  wake();
}

void RingMailbox::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    mail_.stop = true;
  }
  wake();
}

RingMailbox::Mail RingMailbox::collect() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(mail_, {});
}

}  // namespace ringside::worker
