#include "worker/link_port.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <span>
#include <utility>

namespace ringside::worker {

Result<std::unique_ptr<LinkPort>> LinkPort::create(rpc::Link link) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return Error{Code::kSystem, errno, "an eventfd cannot be made"};
  return std::unique_ptr<LinkPort>(new LinkPort(std::move(link), std::move(wake)));
}

void LinkPort::post(link::v1::ToSupervisor message, int descriptor) {
  {
    const std::lock_guard lock(mutex_);
    outgoing_.emplace_back(std::move(message), descriptor);
  }
  wake();
}

void LinkPort::wake() { ::eventfd_write(wake_.get(), 1); }

void LinkPort::advance_epoch(std::function<void()> done) {
  link::v1::ToSupervisor message;
  {
    const std::lock_guard lock(mutex_);
    message.mutable_advance_epoch()->set_token(next_token_);
    waiting_.emplace(next_token_++, std::move(done));
  }
  post(std::move(message));
}

bool LinkPort::wants_to_write() const {
  const std::lock_guard lock(mutex_);
  return !outgoing_.empty();
}

Status LinkPort::flush() {
  eventfd_t ignored = 0;
  ::eventfd_read(wake_.get(), &ignored);
  const std::lock_guard lock(mutex_);
  while (!outgoing_.empty()) {
    const auto& [message, descriptor] = outgoing_.front();
    const Status sent = link_.send(message, std::span(&descriptor, descriptor < 0 ? 0 : 1));
    if (!sent.ok()) return sent.error().code == Code::kFull ? Status() : sent;
    outgoing_.pop_front();
  }
  return {};
}

Result<rpc::Link::Received> LinkPort::receive(link::v1::ToWorker& message) {
  auto received = link_.receive(message);
  if (!received.ok() || !message.has_epoch_advanced()) return received;
  std::function<void()> done;
  {
    const std::lock_guard lock(mutex_);
    if (auto node = waiting_.extract(message.epoch_advanced().token()); !node.empty()) done = std::move(node.mapped());
  }
  if (done) done();
  message.Clear();
  return received;
}

}  // namespace ringside::worker
