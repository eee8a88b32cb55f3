#include "worker/runtime/call.h"

#include <utility>

namespace ringside::worker {

void Call::answer(mcp::Response response) {
  if (answered_.exchange(true, std::memory_order_acq_rel)) return;
  std::function<void()> dropped;  // destroyed after the lock: it may own what answers us
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(hook_);
  }
  deliver(std::move(response));
}

void Call::cancel() {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    if (answered_.load(std::memory_order_acquire) || cancelled_.exchange(true, std::memory_order_acq_rel)) return;
    hook.swap(hook_);
  }
  if (hook) hook();
}

void Call::on_cancel(std::function<void()> hook) {
  {
    const std::lock_guard lock(mutex_);
    if (!cancelled_.load(std::memory_order_acquire)) {
      if (!answered_.load(std::memory_order_acquire)) hook_.swap(hook);
      return;
    }
  }
  if (hook && !answered_.load(std::memory_order_acquire)) hook();
}

}  // namespace ringside::worker
