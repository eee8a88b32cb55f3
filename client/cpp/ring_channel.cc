#include "client/cpp/ring_channel.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <utility>

#include "client/cpp/grpc_calls.h"
#include "client/cpp/grpc_stream.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "ringside/ring/v1/ring.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/errors.h"

namespace ringside {
namespace {

using contextforge::mcp::runtime::v1::McpRuntime;
using ring::v1::FetchRequest;
using ring::v1::FetchResponse;
using ring::v1::RingService;

constexpr std::string_view kOverLimit = "larger than max";  // in the message of every gRPC's own size check

/// How a call ends that nobody ran.
constexpr Error kNotTaken{Code::kNotFound, 0, "the worker is going away and took the call no more"};

Error error_of(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
      status.error_message().find(kOverLimit) != std::string::npos) {
    return {Code::kTooLarge, 0, "the body is larger than gRPC takes"};
  }
  const Code code = rpc::code_of_grpc(status.error_code());
  switch (code) {
    case Code::kUnavailable:
      return {code, 0, "the worker is gone, with the call under way"};
    case Code::kTimeout:
      return {code, 0, "no answer came in time"};
    case Code::kCancelled:
      return {code, 0, "the call was cancelled"};
    default:
      return {code, 0, "the worker refused the call without an answer"};
  }
}

template <typename RequestMessage, typename ResponseMessage>
struct TypedCall final : GrpcCall {
  RequestMessage request;
  ResponseMessage response;
  TypedCall(RequestMessage message, SteadyTime deadline) : GrpcCall(deadline), request(std::move(message)) {}
};
using InvokeCall = TypedCall<RingChannel::McpRequest, RingChannel::McpResponse>;
using FetchCall = TypedCall<FetchRequest, FetchResponse>;

FetchRequest to_message(const RingChannel::Ticket& ticket) {
  FetchRequest message;
  message.set_ring(ticket.ring);
  message.set_slot(ticket.slot);
  message.set_sequence(ticket.sequence);
  return message;
}

RingChannel::Fetched to_fetched(FetchResponse&& message) {
  return {std::move(*message.mutable_header()), std::move(*message.mutable_body())};
}

}  // namespace

struct RingChannel::State {
  State(UniqueFd fd, std::size_t max_body_bytes)
      : connection(std::move(fd)),
        // As much as a worker takes over gRPC, so that what it refuses is refused there, with an answer.
        limit(static_cast<int>(std::min<std::size_t>(2 * max_body_bytes, std::numeric_limits<int>::max()))) {}

  void open() {
    std::call_once(opened, [this] {
      const auto channel = rpc::channel_on_fd(std::move(connection), limit);
      runtime = McpRuntime::NewStub(channel);
      rings = RingService::NewStub(channel);
    });
  }
  Error failed(const grpc::Status& status) {
    if (status.error_code() == kTurnedAway) {
      broken.store(true, std::memory_order_relaxed);
      return kNotTaken;
    }
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) broken.store(true, std::memory_order_relaxed);
    return error_of(status);
  }

  UniqueFd connection;
  const int limit;
  std::once_flag opened;
  std::unique_ptr<McpRuntime::Stub> runtime;
  std::unique_ptr<RingService::Stub> rings;
  std::atomic<bool> broken{false};
  GrpcCalls calls;
};

RingChannel::RingChannel(UniqueFd connection, std::size_t max_body_bytes)
    : state_(std::make_unique<State>(std::move(connection), max_body_bytes)) {}

RingChannel::~RingChannel() { state_->calls.cancel_all_and_wait(); }

Result<RingChannel::McpResponse> RingChannel::invoke(const McpRequest& request, SteadyTime deadline) {
  state_->open();
  // The blocking form saves two changes of thread.
  const auto call = std::make_shared<GrpcCall>(deadline);
  if (!state_->calls.add(call)) return kNotTaken;
  McpResponse response;
  const grpc::Status status = request.method() == "DELETE"
                                  ? state_->runtime->CloseSession(call->context(), request, &response)
                                  : state_->runtime->Invoke(call->context(), request, &response);
  Result<McpResponse> answer =
      status.ok() ? Result<McpResponse>(std::move(response)) : state_->failed(call->judged(status));
  state_->calls.remove(call);
  return answer;
}

std::shared_ptr<PendingCall> RingChannel::invoke_async(McpRequest request, SteadyTime deadline, Invoked done) {
  state_->open();
  auto call = std::make_shared<InvokeCall>(std::move(request), deadline);
  if (!state_->calls.add(call)) {
    done(kNotTaken);
    return nullptr;
  }
  auto ended = [state = state_.get(), call, done = std::move(done)](const grpc::Status& status) {
    done(status.ok() ? Result<McpResponse>(std::move(call->response)) : state->failed(call->judged(status)));
    state->calls.remove(call);
  };
  auto* stub = state_->runtime->async();
  if (call->request.method() == "DELETE") {
    stub->CloseSession(call->context(), &call->request, &call->response, std::move(ended));
  } else {
    stub->Invoke(call->context(), &call->request, &call->response, std::move(ended));
  }
  return call;
}

std::shared_ptr<PendingCall> RingChannel::stream(McpRequest request, SteadyTime deadline,
                                                 std::shared_ptr<StreamBuffer> buffer, StreamEnded ended) {
  state_->open();
  return start_grpc_stream(*state_->runtime, std::move(request), deadline, std::move(buffer), state_->calls,
                           [state = state_.get(), ended = std::move(ended)](const grpc::Status& status) {
                             ended(status.ok() ? Status() : Status(state->failed(status)));
                           });
}

Result<RingChannel::Fetched> RingChannel::fetch(const Ticket& ticket, SteadyTime deadline) {
  state_->open();
  const auto call = std::make_shared<GrpcCall>(deadline);
  if (!state_->calls.add(call)) return kNotTaken;
  FetchResponse response;
  const grpc::Status status = state_->rings->Fetch(call->context(), to_message(ticket), &response);
  Result<Fetched> fetched = status.ok() ? Result<Fetched>(to_fetched(std::move(response))) : state_->failed(status);
  state_->calls.remove(call);
  return fetched;
}

std::shared_ptr<PendingCall> RingChannel::fetch_async(const Ticket& ticket, SteadyTime deadline, FetchDone done) {
  state_->open();
  auto call = std::make_shared<FetchCall>(to_message(ticket), deadline);
  if (!state_->calls.add(call)) {
    done(kNotTaken);
    return nullptr;
  }
  state_->rings->async()->Fetch(
      call->context(), &call->request, &call->response,
      [state = state_.get(), call, done = std::move(done)](const grpc::Status& status) {
        done(status.ok() ? Result<Fetched>(to_fetched(std::move(call->response))) : state->failed(status));
        state->calls.remove(call);
      });
  return call;
}

void RingChannel::leave(std::function<void()> left) { state_->calls.leave(std::move(left)); }

bool RingChannel::idle() const { return state_->calls.empty(); }

bool RingChannel::broken() const { return state_->broken.load(std::memory_order_relaxed); }

}  // namespace ringside
