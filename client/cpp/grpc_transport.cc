// The gRPC door with bodies inline. Several channels, each with a connection of its own and so perhaps a worker of its
// own; calls go round those that are connected.

#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <grpcpp/completion_queue.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <utility>

#include "base/unix_socket.h"
#include "client/cpp/grpc_calls.h"
#include "client/cpp/grpc_lane.h"
#include "client/cpp/grpc_stream.h"
#include "client/cpp/stream_buffer.h"
#include "client/cpp/transport.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/convert.h"
#include "rpc/errors.h"

namespace ringside {
namespace {

using rpc::contract::McpRequest;
using rpc::contract::McpResponse;

constexpr std::size_t kLanes = 2;

Error error_of(int grpc_code) {
  const Code code = rpc::code_of_grpc(grpc_code);
  switch (code) {
    case Code::kUnavailable:
      return {code, 0, "nobody answers at the gRPC door, or the worker died with the call under way"};
    case Code::kTimeout:
      return {code, 0, "no answer came in time"};
    case Code::kCancelled:
      return {code, 0, "the call was cancelled"};
    default:
      return {code, 0, "the gRPC door refused the call without an answer"};
  }
}

constexpr Error kGoingAway{Code::kUnavailable, 0, "the worker is going away and took the call no more"};

struct InvokeCall final : GrpcCall {
  McpRequest request;
  McpResponse response;
  CallTrace* trace = nullptr;
  Transport::Done done;
  const SteadyTime deadline;

  InvokeCall(Request&& from, CallTrace* call_trace)
      : GrpcCall(from.deadline), trace(call_trace), deadline(from.deadline) {
    rpc::fill_head(from, request);
    request.set_body(std::move(from.body));
  }
  [[nodiscard]] bool closes_session() const { return request.method() == "DELETE"; }

  Outcome outcome_of(const grpc::Status& status) {
    if (trace != nullptr) {
      *trace = CallTrace{};
      trace->door = DoorChoice::kGrpc;
      trace->inline_bytes_out = request.body().size();
      trace->inline_bytes_in = response.body().size();
    }
    if (status.ok()) return {rpc::to_response(std::move(response))};
    // Beyond the receive limit gRPC itself refuses, and cannot say 413.
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      return {rpc::detail_error(413, "Request body too large")};
    }
    if (status.error_code() == kTurnedAway) return {kGoingAway, rpc::to_request(std::move(request), "POST")};
    const Error error = error_of(status.error_code());
    if (error.code != Code::kUnavailable) return {error};
    Request lost = rpc::to_request(std::move(request), "POST");
    lost.deadline = deadline;  // which travels beside the message
    return {error, std::nullopt, std::move(lost)};
  }
};

class GrpcTransport final : public Transport {
 public:
  using Channels = std::array<std::shared_ptr<grpc::Channel>, kLanes>;
  explicit GrpcTransport(const Channels& channels) {
    for (std::size_t i = 0; i < kLanes; ++i) lanes_.at(i) = std::make_unique<GrpcLane>(channels.at(i), turns_);
  }
  ~GrpcTransport() override {
    calls_.cancel_all_and_wait();
    for (const auto& lane : lanes_) {
      for (lane->stop(); lane->watches();) take_turn(gpr_inf_future(GPR_CLOCK_MONOTONIC));
    }
  }

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override {
    GrpcLane* lane = next_lane();
    if (lane == nullptr) {
      done(not_connected(std::move(request)));
      return nullptr;
    }
    auto call = std::make_shared<InvokeCall>(std::move(request), trace);
    call->done = std::move(done);
    calls_.add(call);
    const auto ended = [this, call, lane](const grpc::Status& said) {
      const grpc::Status status = call->judged(said);
      if (status.error_code() == kTurnedAway) lane->avoid();
      const Done tell = std::exchange(call->done, nullptr);
      tell(call->outcome_of(status));
      lane->end();
      calls_.remove(call);
    };
    auto* stub = lane->stub().async();
    if (call->closes_session()) {
      stub->CloseSession(call->context(), &call->request, &call->response, ended);
    } else {
      stub->Invoke(call->context(), &call->request, &call->response, ended);
    }
    return call;
  }

  // The blocking form saves two changes of thread.
  Outcome call(Request request, CallTrace* trace, shm::Loan* /*loan*/) override {
    GrpcLane* lane = next_lane();
    if (lane == nullptr) return not_connected(std::move(request));
    auto call = std::make_shared<InvokeCall>(std::move(request), trace);
    calls_.add(call);
    const grpc::Status status =
        call->judged(call->closes_session() ? lane->stub().CloseSession(call->context(), call->request, &call->response)
                                            : lane->stub().Invoke(call->context(), call->request, &call->response));
    if (status.error_code() == kTurnedAway) lane->avoid();
    lane->end();
    Outcome outcome = call->outcome_of(status);
    calls_.remove(call);
    return outcome;
  }

  std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace,
                                      std::shared_ptr<StreamBuffer> buffer) override {
    GrpcLane* lane = next_lane();
    if (lane == nullptr) {
      buffer->finish(not_connected(std::move(request)));
      return nullptr;
    }
    const auto call = std::make_shared<InvokeCall>(std::move(request), trace);
    const SteadyTime deadline = call->deadline;
    McpRequest message = call->request;
    return start_grpc_stream(lane->stub(), std::move(message), deadline, buffer, calls_,
                             [this, lane, call, buffer](const grpc::Status& status) {
                               if (status.error_code() == kTurnedAway) lane->avoid();
                               lane->end();
                               const bool cut = status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
                               if (cut && buffer->begun()) return buffer->finish({kReadTooSlowly});
                               Outcome outcome = call->outcome_of(status);
                               if (status.ok())
                                 outcome.answer =
                                     Response{};  // the head has come; where it has not, there was nothing to say
                               buffer->finish(std::move(outcome));
                             });
  }

  [[nodiscard]] bool usable() const override {
    read_sockets();
    return std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->serves(/*connect=*/false); });
  }

  [[nodiscard]] DoorChoice door() const override { return DoorChoice::kGrpc; }

 private:
  // Between blocking calls nobody reads gRPC's sockets, and a connection that has ended still looks ready: without this
  // every second call after a worker's death would be lost. A turn of an empty queue reads what one socket has to say.
  void read_sockets() const {
    for (std::size_t turn = 0; turn < kLanes + 1; ++turn) take_turn(gpr_inf_past(GPR_CLOCK_MONOTONIC));
  }
  void take_turn(gpr_timespec until) const {
    void* tag = nullptr;
    bool ok = false;
    if (turns_.AsyncNext(&tag, &ok, until) == grpc::CompletionQueue::GOT_EVENT) GrpcLane::take(tag, ok);
  }

  static Outcome not_connected(Request&& request) {
    return {error_of(grpc::StatusCode::UNAVAILABLE), std::move(request)};
  }

  /// The next lane that is connected, with a call begun; one that is not is told to connect, for a later call. None:
  /// nullptr.
  GrpcLane* next_lane() {
    const std::size_t first = next_.fetch_add(1, std::memory_order_relaxed);
    for (std::size_t i = 0; i < kLanes; ++i) {
      GrpcLane& lane = *lanes_.at((first + i) % kLanes);
      if (lane.serves(/*connect=*/true) && lane.begin()) return &lane;
    }
    return nullptr;
  }

  std::atomic<std::size_t> next_{0};
  mutable grpc::CompletionQueue turns_;
  std::array<std::unique_ptr<GrpcLane>, kLanes> lanes_;
  GrpcCalls calls_;
};

/// Waits until the channel speaks HTTP/2 with somebody. Gives up at once when nobody listens at `path`, but is patient
/// while somebody does: a connection may have been handed to a worker that died just then.
Status wait_connected(grpc::Channel& channel, const std::string& path, SteadyTime deadline) {
  while (true) {
    const grpc_connectivity_state state = channel.GetState(true);
    if (state == GRPC_CHANNEL_READY) return {};
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
      if (const auto probe = connect_to(path, SocketKind::kStream); !probe.ok()) return probe.error();
    }
    if (!channel.WaitForStateChange(state, grpc_deadline(deadline))) {
      return Error{Code::kUnavailable, 0, "the gRPC door is there, but no worker answers; see: ringside status"};
    }
  }
}

}  // namespace

Result<std::shared_ptr<Transport>> connect_grpc(const ClientOptions& options) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + options.connect_timeout;
  const std::string path = options.runtime_dir + "/runtime.sock";
  // As much as a worker takes over gRPC, so that what it refuses is refused there, with an answer.
  const auto limit =
      static_cast<int>(std::min<std::size_t>(2 * options.max_body_bytes, std::numeric_limits<int>::max()));
  GrpcTransport::Channels channels;
  for (auto& channel : channels) {
    channel = rpc::channel_to_path(path, limit);
    // The first decides; the others connect behind it.
    if (&channel == &channels.front()) {
      RS_TRY_STATUS(wait_connected(*channel, path, deadline));
    } else {
      channel->GetState(true);
    }
  }
  return std::shared_ptr<Transport>(std::make_shared<GrpcTransport>(channels));
}

}  // namespace ringside
