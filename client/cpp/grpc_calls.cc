#include "client/cpp/grpc_calls.h"

#include <grpc/support/time.h>

#include <chrono>
#include <utility>

namespace ringside {

gpr_timespec grpc_deadline(SteadyTime deadline) {
  if (deadline == SteadyTime::max()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - std::chrono::steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

GrpcCall::GrpcCall(SteadyTime deadline) : context_(std::make_unique<grpc::ClientContext>()) {
  context_->set_deadline(grpc_deadline(deadline));
}

void GrpcCall::cancel() {
  given_up_.store(true, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

void GrpcCall::end() {
  std::unique_ptr<grpc::ClientContext> context;  // goes away after the lock does
  const std::lock_guard lock(mutex_);
  context.swap(context_);
}

bool GrpcCalls::add(std::shared_ptr<GrpcCall> call) {
  const std::lock_guard lock(mutex_);
  if (leaving_) return false;
  calls_.insert(std::move(call));
  return true;
}

void GrpcCalls::leave(std::function<void()> left) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(leaving_, true)) return;
  left_ = std::move(left);
  if (calls_.empty()) left_();
}

void GrpcCalls::remove(const std::shared_ptr<GrpcCall>& call) {
  call->end();
  const std::lock_guard lock(mutex_);
  calls_.erase(call);
  if (!calls_.empty()) return;
  if (leaving_) left_();
  // Under the lock: whoever waits for the last call takes this list down.
  emptied_.notify_all();
}

bool GrpcCalls::empty() const {
  const std::lock_guard lock(mutex_);
  return calls_.empty();
}

void GrpcCalls::cancel_all_and_wait() {
  std::unique_lock lock(mutex_);
  const auto calls = calls_;
  lock.unlock();  // a cancelled call may end on this very thread
  for (const auto& call : calls) call->cancel();
  lock.lock();
  emptied_.wait(lock, [this] { return calls_.empty(); });
}

}  // namespace ringside
