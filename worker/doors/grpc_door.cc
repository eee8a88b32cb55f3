#include "worker/doors/grpc_door.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/backlog.h"
#include "base/log.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/convert.h"
#include "rpc/errors.h"
#include "worker/doors/calls_under_way.h"

namespace ringside::worker {
namespace {

namespace contract = ::contextforge::mcp::runtime::v1;

/// A longer deadline than this is none: gRPC states "no deadline" as a time far away.
constexpr auto kNoDeadline = std::chrono::hours(24 * 365);

/// In a drain: who has no call under way for so long is cut off, if it does not close its connection by itself.
constexpr auto kQuiet = std::chrono::milliseconds(250);

SteadyTime steady_deadline(const grpc::CallbackServerContext& context) {
  const auto left = context.deadline() - std::chrono::system_clock::now();
  if (left > kNoDeadline) return SteadyTime::max();
  return std::chrono::steady_clock::now() + std::chrono::duration_cast<Duration>(left);
}

grpc::Status grpc_status(const Error& error) {
  return {static_cast<grpc::StatusCode>(rpc::grpc_code(error.code)), std::string(error.message)};
}

/// A request as the runtime takes it, and the handle that it came by.
struct Arrived {
  mcp::Request request;
  std::optional<shm::Handle> handle;
};

/// Moves everything out of `message`. kInvalid: a handle that names nothing of the caller's.
Result<Arrived> arrive(const grpc::CallbackServerContext& context, const contract::McpRequest* message,
                       std::string_view default_method, BodyHandles* handles) {
  // The callback API lends the request as const, but made it for this call alone and looks at it no more: the body is
  // moved instead of copied.
  auto& mine = const_cast<contract::McpRequest&>(*message);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  Arrived arrived;
  if (mine.has_body_handle()) arrived.handle = rpc::to_handle<shm::Handle>(mine.body_handle());
  arrived.request = rpc::to_request(std::move(mine), default_method);
  arrived.request.deadline = steady_deadline(context);
  arrived.request.stream = false;
  if (!arrived.handle) return arrived;
  if (handles == nullptr) return Error{Code::kInvalid, 0, "handles are not served here"};
  if (!arrived.request.body.empty()) return Error{Code::kInvalid, 0, "a body and a handle at once"};
  arrived.request.body = RS_TRY(handles->read(*arrived.handle));
  return arrived;
}

// What gRPC calls is noexcept here: it would swallow what is thrown (no memory, no thread), answer UNIMPLEMENTED and
// leave the call half begun. So the worker dies, which is what everybody knows how to live with.

/// Of a call that comes when its door cuts off who is left, and does not run: gRPC would say CANCELLED of it, running
/// or not, by which our clients know a call that never ran.
grpc::Status turned_away() { return {grpc::StatusCode::ABORTED, "the worker is going away; call again"}; }

/// One Invoke or CloseSession. gRPC holds it as its reactor until OnDone, the runtime as its call until the answer.
class UnaryCall final : public grpc::ServerUnaryReactor, public Call {
 public:
  UnaryCall(Arrived arrived, contract::McpResponse* message, BodyHandles* handles, std::shared_ptr<CallsUnderWay> count)
      : Call(arrived.handle ? Door::kHandle : Door::kGrpc, std::move(arrived.request)),
        mark_(std::move(count)),
        handle_(arrived.handle),
        message_(message),
        handles_(handles) {}

  static grpc::ServerUnaryReactor* start(Runtime& runtime, const std::shared_ptr<UnaryCall>& call) {
    call->self_ = call;
    if (call->mark_.too_late()) {
      call->Finish(turned_away());
    } else {
      runtime.serve(call);
    }
    return call.get();
  }

  void OnCancel() noexcept override { cancel(); }
  void OnDone() noexcept override { self_.reset(); }

 private:
  void deliver(mcp::Response response) override {
    rpc::fill_head(response, *message_);
    if (handle_ && !response.body.empty()) {
      auto lent = handles_->lend(*handle_, response.body);
      if (lent) {
        rpc::fill_handle(*lent, *message_->mutable_body_handle());
        return Finish(grpc::Status::OK);
      }
      // Nobody waits for it any more. Not CANCELLED, by which our clients know a call that never ran.
      if (lent.error().code == Code::kInvalid) {
        return Finish({grpc::StatusCode::UNAVAILABLE, "the caller has let the call go"});
      }
    }
    message_->set_body(std::move(response.body));
    Finish(grpc::Status::OK);
  }

  const CallsUnderWay::Mark mark_;
  const std::optional<shm::Handle> handle_;
  contract::McpResponse* const message_;  // gRPC's, until OnDone
  BodyHandles* const handles_;
  std::shared_ptr<UnaryCall> self_;
};

/// One InvokeStream. While one chunk is on its way the next gathers; so a fast writer makes few, large chunks.
class StreamCall final : public grpc::ServerWriteReactor<contract::McpChunk>, public Call {
 public:
  StreamCall(Arrived arrived, std::size_t max_unread_bytes, std::shared_ptr<CallsUnderWay> count)
      : Call(arrived.handle ? Door::kHandle : Door::kGrpc, std::move(arrived.request)),
        mark_(std::move(count)),
        max_unread_bytes_(max_unread_bytes) {
    request().stream = true;
  }

  static grpc::ServerWriteReactor<contract::McpChunk>* start(Runtime& runtime,
                                                             const std::shared_ptr<StreamCall>& call) {
    call->self_ = call;
    if (call->mark_.too_late()) {
      call->Finish(turned_away());
    } else {
      runtime.serve(call);
    }
    return call.get();
  }

  void OnCancel() noexcept override { cancel(); }
  void OnDone() noexcept override { self_.reset(); }
  void OnWriteDone(bool /*ok*/) noexcept override {
    bool room = false;
    {
      const std::lock_guard lock(mutex_);
      writing_ = false;
      send();
      room = owes_room_ && unsent() < kMuchUnread;
      owes_room_ = owes_room_ && !room;
    }
    if (room) has_room();
  }

 private:
  // A gRPC client that was told nothing else takes messages of 4 MiB.
  static constexpr std::size_t kMostOfAChunk = 1UL << 20U;

  void deliver(mcp::Response response) override {
    const std::lock_guard lock(mutex_);
    put_head(response);
    unsent_ = std::move(response.body);
    ended_ = true;
    send();
  }
  void deliver_head(mcp::Response head) override {
    const std::lock_guard lock(mutex_);
    put_head(head);
    send();
  }
  Written deliver_piece(std::string piece) override {
    const std::lock_guard lock(mutex_);
    cut_ = cut_ || (unsent() > 0 && unsent() + piece.size() > max_unread_bytes_);
    if (cut_) {
      unsent_ = {};
      sent_ = 0;
      return Written::kCut;
    }
    unsent_ += piece;
    send();
    owes_room_ = owes_room_ || unsent() >= kMuchUnread;
    return unsent() < kMuchUnread ? Written::kMore : Written::kSlow;
  }
  void deliver_end() override {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    send();
  }

  void put_head(const mcp::Response& head) {
    rpc::fill_head(head, chunk_);
    // An error's body goes along: a chunk with error_status holds no events.
    if (head.status < 200 || head.status > 299) chunk_.set_error_status(head.status);
    has_head_ = true;
  }
  // With the mutex.

  [[nodiscard]] std::size_t unsent() const { return unsent_.size() - sent_; }
  void send() {
    if (writing_ || finished_ || (unsent() == 0 && !has_head_ && !ended_)) return;
    writing_ = true;
    if (!std::exchange(has_head_, false)) chunk_.Clear();
    if (cut_ && ended_) {
      finished_ = true;
      return Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "the stream was read too slowly"});
    }
    take_data();
    finished_ = ended_ && unsent() == 0;
    chunk_.set_done(finished_);
    if (finished_) return StartWriteAndFinish(&chunk_, grpc::WriteOptions(), grpc::Status::OK);
    StartWrite(&chunk_);
  }
  /// Moves what fits into the chunk.
  void take_data() {
    if (sent_ == 0 && unsent_.size() <= kMostOfAChunk) return chunk_.set_data(std::exchange(unsent_, {}));
    chunk_.set_data(unsent_.substr(sent_, kMostOfAChunk));
    sent_ += chunk_.data().size();
    // Now and then, so that a byte is moved once or twice.
    if (sent_ >= unsent_.size() / 2) unsent_.erase(0, std::exchange(sent_, 0));
  }

  const CallsUnderWay::Mark mark_;
  const std::size_t max_unread_bytes_;
  std::mutex mutex_;
  contract::McpChunk chunk_;  // gRPC's, while it is written
  std::string unsent_;
  std::size_t sent_ = 0;   // of it
  bool has_head_ = false;  // in chunk_, not sent yet
  bool writing_ = false;
  bool ended_ = false;
  bool finished_ = false;
  bool cut_ = false;
  bool owes_room_ = false;
  std::shared_ptr<StreamCall> self_;
};

/// A stream that is refused before the runtime sees it.
class RefusedStream final : public grpc::ServerWriteReactor<contract::McpChunk> {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

class ContractService final : public contract::McpRuntime::CallbackService {
 public:
  ContractService(Runtime& runtime, BodyHandles* handles) : runtime_(runtime), handles_(handles) {}

  void announce_drain() { draining_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] CallsUnderWay& under_way() { return *under_way_; }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_relaxed); }

  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext* context, const contract::McpRequest* request,
                                   contract::McpResponse* response) noexcept override {
    return unary(context, request, response, "POST");
  }
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext* context, const contract::McpRequest* request,
                                         contract::McpResponse* response) noexcept override {
    return unary(context, request, response, "DELETE");
  }
  grpc::ServerWriteReactor<contract::McpChunk>* InvokeStream(grpc::CallbackServerContext* context,
                                                             const contract::McpRequest* request) noexcept override {
    auto arrived = arrive(*context, request, "GET", handles_);
    if (!arrived) return new RefusedStream(grpc_status(arrived.error()));  // deletes itself in OnDone
    return StreamCall::start(
        runtime_, std::make_shared<StreamCall>(std::move(*arrived), runtime_.options().max_body_bytes, under_way_));
  }
  grpc::ServerUnaryReactor* HealthCheck(grpc::CallbackServerContext* context,
                                        const contract::HealthRequest* /*request*/,
                                        contract::HealthResponse* response) override {
    const Health health = draining_.load(std::memory_order_relaxed) ? Health::kDraining : runtime_.ask_health();
    response->set_status(std::string(to_string(health)));
    response->set_mode(runtime_.options().mode);
    response->set_version(runtime_.options().version);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  grpc::ServerUnaryReactor* unary(grpc::CallbackServerContext* context, const contract::McpRequest* request,
                                  contract::McpResponse* response, std::string_view method) {
    auto arrived = arrive(*context, request, method, handles_);
    if (!arrived) {
      auto* reactor = context->DefaultReactor();
      reactor->Finish(grpc_status(arrived.error()));
      return reactor;
    }
    return UnaryCall::start(runtime_, std::make_shared<UnaryCall>(std::move(*arrived), response, handles_, under_way_));
  }

  Runtime& runtime_;
  BodyHandles* const handles_;
  const std::shared_ptr<CallsUnderWay> under_way_ = std::make_shared<CallsUnderWay>();
  std::atomic<bool> draining_{false};
};

/// Keeps gRPC's own threads until the process ends. Shutting the library down with its last user joins a poller that
/// may sleep for 10 s more, which a worker that has drained shall not.
void keep_library() {
  static const bool kept = (grpc_init(), true);
  static_cast<void>(kept);
}

/// Twice the body limit, so that the runtime itself says 413 to what is a little too large.
int receive_limit(std::size_t max_body_bytes) {
  return static_cast<int>(std::min<std::size_t>(2 * max_body_bytes, std::numeric_limits<int>::max()));
}

}  // namespace

// Members go away in reverse order: the server first, then what it uses.
struct GrpcDoor::State {
  State(Runtime& runtime, BodyHandles* handles) : service(runtime, handles) {}

  ContractService service;
  std::unique_ptr<rpc::Acceptor> acceptor;
  std::mutex health_mutex;
  std::optional<Health> told;  // guarded by health_mutex
  std::mutex drain_mutex;
  bool drained = false;  // guarded by drain_mutex
  std::unique_ptr<grpc::Server> server;

  /// docs/operations.md ("Health") has the names.
  void set(Health state) {
    if (std::exchange(told, state) == state) return;  // a Watch would be told again what it knows
    auto* health = server->GetHealthCheckService();
    health->SetServingStatus("liveness", true);
    health->SetServingStatus("readiness", is_ready(state));
    health->SetServingStatus("", state == Health::kOk);
    health->SetServingStatus(contract::McpRuntime::service_full_name(), state == Health::kOk);
  }
};

GrpcDoor::GrpcDoor(std::unique_ptr<State> state) : state_(std::move(state)) {}

GrpcDoor::~GrpcDoor() { drain(Duration(0)); }

Result<std::unique_ptr<GrpcDoor>> GrpcDoor::start(Runtime& runtime, GrpcDoorOptions options) {
  keep_library();
  // Both are plugins that a ServerBuilder picks up; naming the second also keeps its library linked.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto state = std::make_unique<State>(runtime, options.handles);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(receive_limit(runtime.options().max_body_bytes));
  builder.SetMaxSendMessageSize(-1);
  builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
  if (options.max_connection_age > Duration(0)) {
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(options.max_connection_age);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, static_cast<int>(age.count()));
  }
  builder.RegisterService(&state->service);
  if (options.extra_service != nullptr) builder.RegisterService(options.extra_service);
  state->acceptor = std::make_unique<rpc::Acceptor>(builder, options.tls);
  state->server = builder.BuildAndStart();
  if (!state->server) return Error{Code::kSystem, 0, "the gRPC server did not start"};
  state->set(Health::kOk);
  return std::unique_ptr<GrpcDoor>(new GrpcDoor(std::move(state)));
}

void GrpcDoor::adopt(UniqueFd connection) { state_->acceptor->adopt(std::move(connection)); }

void GrpcDoor::tell(Health health) {
  const std::lock_guard lock(state_->health_mutex);
  if (!state_->service.draining()) state_->set(health);
}

void GrpcDoor::announce_drain() {
  const std::lock_guard lock(state_->health_mutex);
  state_->service.announce_drain();
  state_->set(Health::kDraining);
}

void GrpcDoor::drain(Duration within) {
  const std::lock_guard lock(state_->drain_mutex);
  if (std::exchange(state_->drained, true)) return;
  announce_drain();
  state_->acceptor->close();
  // Shutdown waits until every client has read that it should go away and has ended what it watches. Some read nothing
  // between two calls.
  std::thread cuts_off([this] {
    if (state_->service.under_way().wait_quiet(kQuiet)) grpc_server_cancel_all_calls(state_->server->c_server());
  });
  state_->server->Shutdown(std::chrono::system_clock::now() + std::max(within, Duration(0)));
  state_->service.under_way().stop();
  cuts_off.join();
}

}  // namespace ringside::worker
