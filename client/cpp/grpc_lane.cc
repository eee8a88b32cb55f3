#include "client/cpp/grpc_lane.h"

#include <grpc/grpc.h>
#include <grpcpp/channel.h>

#include <chrono>
#include <utility>

namespace ringside {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr Duration kAvoided = std::chrono::milliseconds(100);
// A worker that still keeps the connection after so long was not going away, but unwell for a while.
constexpr Duration kAway = std::chrono::seconds(10);

Duration::rep now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

GrpcLane::GrpcLane(std::shared_ptr<grpc::Channel> channel, grpc::CompletionQueue& turns)
    : channel_(std::move(channel)),
      turns_(turns),
      runtime_(Runtime::NewStub(channel_)),
      health_(grpc::health::v1::Health::NewStub(channel_)) {}

bool GrpcLane::serves(bool connect) {
  if (leaving_.load()) {
    hang_up_if_idle();
    if (watching_.load() || under_way_.load() != 0) return false;
    const bool connected = channel_->GetState(false) == GRPC_CHANNEL_READY;
    if (connected && now() - left_at_.load() < kAway.count()) return false;
    leaving_.store(false);
  }
  if (channel_->GetState(connect) != GRPC_CHANNEL_READY) return false;
  if (now() < avoided_until_.load(std::memory_order_relaxed)) return false;
  watch();
  return true;
}

// Counted before it looks, as hang_up_if_idle() looks after it was told: at least one of the two sees the other.
bool GrpcLane::begin() {
  under_way_.fetch_add(1);
  if (!leaving_.load()) return true;
  end();
  return false;
}

void GrpcLane::end() {
  if (under_way_.fetch_sub(1) == 1 && leaving_.load()) hang_up_if_idle();
}

void GrpcLane::avoid() { avoided_until_.store(now() + kAvoided.count(), std::memory_order_relaxed); }

void GrpcLane::take(void* tag, bool ok) {
  const auto* step = static_cast<const Step*>(tag);
  (step->lane->*step->next)(ok);
}

void GrpcLane::watch() {
  if (!can_watch_.load(std::memory_order_relaxed) || watching_.exchange(true)) return;
  const auto context = std::make_shared<grpc::ClientContext>();
  {
    const std::lock_guard lock(mutex_);
    context_ = context;
  }
  started_ = served_ = false;
  HealthCheckRequest request;
  request.set_service("readiness");
  reader_ = health_->PrepareAsyncWatch(context.get(), request, &turns_);
  reader_->StartCall(&heard_);
}

void GrpcLane::heard(bool ok) {
  if (!ok) return reader_->Finish(&status_, &ended_);
  if (std::exchange(started_, true)) {
    const bool serves_now = said_.status() == HealthCheckResponse::SERVING;
    if (served_ && !serves_now) {
      left_at_.store(now());
      leaving_.store(true);
      hang_up_if_idle();
    }
    served_ = serves_now;
  }
  reader_->Read(&said_, &heard_);
}

void GrpcLane::ended(bool /*ok*/) {
  if (status_.error_code() == grpc::StatusCode::UNIMPLEMENTED) can_watch_.store(false);
  reader_.reset();
  {
    const std::lock_guard lock(mutex_);
    context_.reset();
  }
  watching_.store(false);
}

void GrpcLane::hang_up_if_idle() {
  if (under_way_.load() != 0) return;
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard lock(mutex_);
    context = context_;
  }
  if (context != nullptr) context->TryCancel();
}

void GrpcLane::stop() {
  leaving_.store(true);
  hang_up_if_idle();
}

}  // namespace ringside
