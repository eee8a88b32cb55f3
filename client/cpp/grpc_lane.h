#pragma once
// One channel of the gRPC door, with a connection and so a worker of its own. It watches that worker's health, for two
// reasons: to hear in time that it goes away, and to have the last word. A server closes a connection as soon as its
// last call is over, also while its answer is still unread here; as long as we watch there is a call more. Private to
// the library; includes gRPC.

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace ringside {

class GrpcLane {
 public:
  using Runtime = contextforge::mcp::runtime::v1::McpRuntime;

  /// `turns` outlives the lane; what comes out of it goes to take().
  GrpcLane(std::shared_ptr<grpc::Channel> channel, grpc::CompletionQueue& turns);
  GrpcLane(const GrpcLane&) = delete;
  GrpcLane& operator=(const GrpcLane&) = delete;

  // Any thread.

  /// Whether a call may go this way now. With `connect` one that is not connected is told to connect, for a later call.
  [[nodiscard]] bool serves(bool connect);
  /// Around each call. False: not this way after all.
  [[nodiscard]] bool begin();
  void end();
  [[nodiscard]] Runtime::Stub& stub() const { return *runtime_; }
  /// Its worker turned a call away; soon the channel will know, too.
  void avoid();
  /// An event of the queue.
  static void take(void* tag, bool ok);

  /// No call begins any more, and the watch ends; take() hears of it until watches() is false.
  void stop();
  [[nodiscard]] bool watches() const { return watching_.load(); }

 private:
  struct Step {
    GrpcLane* lane;
    void (GrpcLane::*next)(bool ok);
  };

  void watch();
  void heard(bool ok);
  void ended(bool ok);
  void hang_up_if_idle();

  const std::shared_ptr<grpc::Channel> channel_;
  grpc::CompletionQueue& turns_;
  const std::unique_ptr<Runtime::Stub> runtime_;
  const std::unique_ptr<grpc::health::v1::Health::Stub> health_;
  std::atomic<Duration::rep> avoided_until_{0};
  std::atomic<int> under_way_{0};
  std::atomic<bool> leaving_{false};  // the connection is used no more
  std::atomic<Duration::rep> left_at_{0};
  std::atomic<bool> watching_{false};
  std::atomic<bool> can_watch_{true};  // false at a worker that knows no such call

  // Of the watch; its events come one after the other.
  Step heard_{this, &GrpcLane::heard};
  Step ended_{this, &GrpcLane::ended};
  std::unique_ptr<grpc::ClientAsyncReader<grpc::health::v1::HealthCheckResponse>> reader_;
  grpc::health::v1::HealthCheckResponse said_;
  grpc::Status status_;
  bool started_ = false;
  bool served_ = false;
  std::mutex mutex_;
  std::shared_ptr<grpc::ClientContext> context_;  // guarded by mutex_
};

}  // namespace ringside
