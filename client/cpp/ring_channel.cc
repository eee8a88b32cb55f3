#include "client/cpp/ring_channel.h"

#include <grpc/support/time.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <unordered_set>
#include <utility>

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

gpr_timespec grpc_deadline(SteadyTime deadline) {
  if (deadline == SteadyTime::max()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - std::chrono::steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

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

/// What every call under way has; the rest of it is kept alive by its callback.
struct ChannelCall : PendingCall {
  grpc::ClientContext context;
  explicit ChannelCall(SteadyTime deadline) { context.set_deadline(grpc_deadline(deadline)); }
  void cancel() override { context.TryCancel(); }
};

template <typename RequestMessage, typename ResponseMessage>
struct TypedCall final : ChannelCall {
  RequestMessage request;
  ResponseMessage response;
  TypedCall(RequestMessage message, SteadyTime deadline) : ChannelCall(deadline), request(std::move(message)) {}
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
  void add(std::shared_ptr<ChannelCall> call) {
    const std::lock_guard lock(mutex);
    calls.insert(std::move(call));
  }
  void remove(const std::shared_ptr<ChannelCall>& call) {
    const std::lock_guard lock(mutex);
    calls.erase(call);
    if (calls.empty()) empty.notify_all();  // under the lock: whoever waits takes this down
  }
  Error failed(const grpc::Status& status) {
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) broken.store(true, std::memory_order_relaxed);
    return error_of(status);
  }

  UniqueFd connection;
  const int limit;
  std::once_flag opened;
  std::unique_ptr<McpRuntime::Stub> runtime;
  std::unique_ptr<RingService::Stub> rings;
  std::atomic<bool> broken{false};

  std::mutex mutex;
  std::condition_variable empty;
  std::unordered_set<std::shared_ptr<ChannelCall>> calls;
};

RingChannel::RingChannel(UniqueFd connection, std::size_t max_body_bytes)
    : state_(std::make_unique<State>(std::move(connection), max_body_bytes)) {}

RingChannel::~RingChannel() {
  std::unique_lock lock(state_->mutex);
  for (const auto& call : state_->calls) call->cancel();
  state_->empty.wait(lock, [this] { return state_->calls.empty(); });
}

Result<RingChannel::McpResponse> RingChannel::invoke(const McpRequest& request, SteadyTime deadline) {
  state_->open();
  // The blocking form saves two changes of thread.
  const auto call = std::make_shared<ChannelCall>(deadline);
  state_->add(call);
  McpResponse response;
  const grpc::Status status = request.method() == "DELETE"
                                  ? state_->runtime->CloseSession(&call->context, request, &response)
                                  : state_->runtime->Invoke(&call->context, request, &response);
  Result<McpResponse> answer = status.ok() ? Result<McpResponse>(std::move(response)) : state_->failed(status);
  state_->remove(call);
  return answer;
}

std::shared_ptr<PendingCall> RingChannel::invoke_async(McpRequest request, SteadyTime deadline, Invoked done) {
  state_->open();
  auto call = std::make_shared<InvokeCall>(std::move(request), deadline);
  state_->add(call);
  auto ended = [state = state_.get(), call, done = std::move(done)](const grpc::Status& status) {
    done(status.ok() ? Result<McpResponse>(std::move(call->response)) : state->failed(status));
    state->remove(call);
  };
  auto* stub = state_->runtime->async();
  if (call->request.method() == "DELETE") {
    stub->CloseSession(&call->context, &call->request, &call->response, std::move(ended));
  } else {
    stub->Invoke(&call->context, &call->request, &call->response, std::move(ended));
  }
  return call;
}

Result<RingChannel::Fetched> RingChannel::fetch(const Ticket& ticket, SteadyTime deadline) {
  state_->open();
  const auto call = std::make_shared<ChannelCall>(deadline);
  state_->add(call);
  FetchResponse response;
  const grpc::Status status = state_->rings->Fetch(&call->context, to_message(ticket), &response);
  Result<Fetched> fetched = status.ok() ? Result<Fetched>(to_fetched(std::move(response))) : state_->failed(status);
  state_->remove(call);
  return fetched;
}

std::shared_ptr<PendingCall> RingChannel::fetch_async(const Ticket& ticket, SteadyTime deadline, FetchDone done) {
  state_->open();
  auto call = std::make_shared<FetchCall>(to_message(ticket), deadline);
  state_->add(call);
  state_->rings->async()->Fetch(
      &call->context, &call->request, &call->response,
      [state = state_.get(), call, done = std::move(done)](const grpc::Status& status) {
        done(status.ok() ? Result<Fetched>(to_fetched(std::move(call->response))) : state->failed(status));
        state->remove(call);
      });
  return call;
}

bool RingChannel::idle() const {
  const std::lock_guard lock(state_->mutex);
  return state_->calls.empty();
}

bool RingChannel::broken() const { return state_->broken.load(std::memory_order_relaxed); }

}  // namespace ringside
