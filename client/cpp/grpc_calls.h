#pragma once
// What every gRPC call of this library needs, whatever channel it goes by: a context that can be cancelled by anybody,
// and a list of the calls under way, so that all can be ended. Private to the library; includes gRPC.

#include <grpcpp/client_context.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "base/clock.h"
#include "client/cpp/client.h"

namespace ringside {

/// For gRPC's own waits.
[[nodiscard]] gpr_timespec grpc_deadline(SteadyTime deadline);

/// How a call ends that never ran: a gRPC server that shuts down cancels what comes before its client has read that it
/// should go away, and gives it to no handler. No worker says this code itself.
inline constexpr grpc::StatusCode kTurnedAway = grpc::StatusCode::ABORTED;
[[nodiscard]] inline grpc::Status turned_away() {
  return {kTurnedAway, "the worker is going away and took the call no more"};
}

/// One call under way. Thread-safe.
class GrpcCall : public PendingCall {
 public:
  explicit GrpcCall(SteadyTime deadline);
  void cancel() override;
  /// `status`, but with kTurnedAway for a CANCELLED that is not ours. Not for a call whose answer has begun.
  [[nodiscard]] grpc::Status judged(const grpc::Status& status) const {
    const bool ours = given_up_.load(std::memory_order_acquire);
    if (status.error_code() != grpc::StatusCode::CANCELLED || ours) return status;
    return turned_away();
  }
  /// To start the call with.
  [[nodiscard]] grpc::ClientContext* context() { return context_.get(); }

 private:
  friend class GrpcCalls;
  void end();

  std::atomic<bool> given_up_{false};
  std::mutex mutex_;
  std::unique_ptr<grpc::ClientContext> context_;  // null: the call is over
};

/// The calls under way. Thread-safe.
class GrpcCalls {
 public:
  /// False once leave() was called: then the call must not start.
  bool add(std::shared_ptr<GrpcCall> call);
  /// Lets go of the call, and of the context, which holds its channel, before anybody can see that it is gone: the last
  /// owner of a channel must not be gRPC's own thread, on which a callback ends, for that would wait for itself.
  void remove(const std::shared_ptr<GrpcCall>& call);
  /// Takes no call any more. `left` runs as soon as none is under way, perhaps before this returns, and once; it must
  /// not block.
  void leave(std::function<void()> left);
  [[nodiscard]] bool empty() const;
  void cancel_all_and_wait();

 private:
  mutable std::mutex mutex_;
  std::condition_variable emptied_;
  std::unordered_set<std::shared_ptr<GrpcCall>> calls_;
  bool leaving_ = false;
  std::function<void()> left_;
};

}  // namespace ringside
