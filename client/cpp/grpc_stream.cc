#include "client/cpp/grpc_stream.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "mcp/sse.h"
#include "rpc/convert.h"

namespace ringside {
namespace {

using contextforge::mcp::runtime::v1::McpChunk;
using contextforge::mcp::runtime::v1::McpRequest;
using contextforge::mcp::runtime::v1::McpRuntime;

class StreamCall final : public GrpcCall, public grpc::ClientReadReactor<McpChunk> {
 public:
  StreamCall(McpRequest request, SteadyTime deadline, std::shared_ptr<StreamBuffer> buffer, GrpcCalls& calls,
             std::function<void(const grpc::Status&)> ended)
      : GrpcCall(deadline),
        request_(std::move(request)),
        buffer_(std::move(buffer)),
        calls_(calls),
        ended_(std::move(ended)) {}

  void start(McpRuntime::Stub& stub, const std::shared_ptr<StreamCall>& self) {
    self_ = self;
    buffer_->on_room([weak = std::weak_ptr(self)] {
      if (const auto call = weak.lock()) call->go_on();
    });
    stub.async()->InvokeStream(context(), &request_, this);
    StartRead(&chunk_);
    StartCall();
  }

  /// Instead of start().
  void turn_away() { std::exchange(ended_, nullptr)(turned_away()); }

  void cancel() override {
    GrpcCall::cancel();
    cancelled_.store(true);
    go_on();  // a call that is not read does not end either
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!buffer_->begun()) buffer_->begin(head_of_stream());
    if (buffer_->push(chunk_.data())) return StartRead(&chunk_);
    {
      const std::lock_guard lock(mutex_);
      AddHold();
      waits_ = true;
    }
    // The reader may have made room, or have left, before anybody waited for it.
    if (buffer_->has_room() || cancelled_.load()) go_on();
  }

  void OnDone(const grpc::Status& status) override {
    const auto self = std::move(self_);
    std::exchange(ended_, nullptr)(buffer_->begun() ? status : judged(status));  // it may own who owns us
    calls_.remove(self);
  }

 private:
  void go_on() {
    {
      const std::lock_guard lock(mutex_);
      if (!std::exchange(waits_, false)) return;
    }
    StartRead(&chunk_);
    RemoveHold();
  }

  /// A worker of the first contract says nothing but error_status.
  Response head_of_stream() {
    Response head = rpc::take_head(chunk_);
    if (head.status == 0) {
      head.status = chunk_.error_status() != 0 ? chunk_.error_status() : 200;
      head.headers.set("content-type", std::string(mcp::kEventStream));
    }
    return head;
  }

  McpRequest request_;
  McpChunk chunk_;
  const std::shared_ptr<StreamBuffer> buffer_;
  GrpcCalls& calls_;
  std::function<void(const grpc::Status&)> ended_;
  std::mutex mutex_;
  bool waits_ = false;  // for room in the buffer; the call is held
  std::atomic<bool> cancelled_{false};
  std::shared_ptr<StreamCall> self_;
};

}  // namespace

std::shared_ptr<PendingCall> start_grpc_stream(McpRuntime::Stub& stub, McpRequest request, SteadyTime deadline,
                                               std::shared_ptr<StreamBuffer> buffer, GrpcCalls& calls,
                                               std::function<void(const grpc::Status&)> ended) {
  const auto call =
      std::make_shared<StreamCall>(std::move(request), deadline, std::move(buffer), calls, std::move(ended));
  if (!calls.add(call)) {
    call->turn_away();
    return nullptr;
  }
  call->start(stub, call);
  return call;
}

}  // namespace ringside
