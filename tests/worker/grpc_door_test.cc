// The gRPC door over real connections: the contract, health, reflection, deadlines, handles and draining.

#include "worker/doors/grpc_door.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "base/unix_socket.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "ringside/ring/v1/ring.grpc.pb.h"
#include "rpc/channel.h"
#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

namespace contract = ::contextforge::mcp::runtime::v1;
namespace health = ::grpc::health::v1;
using ::testing::HasSubstr;

constexpr int kMaxMessage = 256 << 20;

/// Handles in a map: slot 1 names a body that can be read, and answers are lent as block 7, as the test says.
class FakeHandles final : public worker::BodyHandles {
 public:
  Result<std::string> read(const shm::Handle& handle) override {
    if (handle.ring != 42 || handle.slot != 1) return Error{Code::kInvalid, 0, "no such handle"};
    return mcp::padded_copy(body);
  }
  Result<shm::Handle> lend(const shm::Handle& request, std::string_view bytes) override {
    if (lend_fails) return *lend_fails;
    lent = bytes;
    shm::Handle handle = request;
    handle.first_block = 7;
    handle.block_count = 1;
    handle.length = bytes.size();
    return handle;
  }
  std::string body = std::string(kPing);
  std::string lent;
  std::optional<Error> lend_fails;
};

class FetchService final : public ::ringside::ring::v1::RingService::Service {
  grpc::Status Fetch(grpc::ServerContext* /*context*/, const ::ringside::ring::v1::FetchRequest* /*request*/,
                     ::ringside::ring::v1::FetchResponse* response) override {
    response->set_body("fetched");
    return grpc::Status::OK;
  }
};

class GrpcDoor : public ::testing::Test {
 protected:
  std::shared_ptr<grpc::Channel> connect() {
    if (!door_) door_ = worker::GrpcDoor::start(bench_.start(), options_).value();
    auto pair = socket_pair(SocketKind::kStream, false).value();
    door_->adopt(std::move(pair.first));
    return rpc::channel_on_fd(std::move(pair.second), kMaxMessage);
  }
  /// One Invoke, with the default deadline of a minute.
  struct Outcome {
    grpc::Status status;
    contract::McpResponse response;
  };
  static Outcome invoke(const std::shared_ptr<grpc::Channel>& channel, const contract::McpRequest& request,
                        std::chrono::milliseconds within = std::chrono::minutes(1)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + within);
    Outcome outcome;
    outcome.status = contract::McpRuntime::NewStub(channel)->Invoke(&context, request, &outcome.response);
    return outcome;
  }
  static contract::McpRequest posted(std::string_view body) {
    contract::McpRequest request;
    request.set_path("/mcp");
    request.set_body(std::string(body));
    return request;
  }
  static contract::McpRequest handled() {
    contract::McpRequest request;
    request.mutable_body_handle()->set_ring(42);
    request.mutable_body_handle()->set_slot(1);
    return request;
  }
  std::string health_of(const std::shared_ptr<grpc::Channel>& channel) const {
    grpc::ClientContext context;
    contract::HealthResponse response;
    if (!contract::McpRuntime::NewStub(channel)->HealthCheck(&context, {}, &response).ok()) return "no answer";
    return response.status() + " " + response.mode() + " " + response.version();
  }
  static health::HealthCheckResponse::ServingStatus standard_health(const std::shared_ptr<grpc::Channel>& channel,
                                                                    const std::string& service) {
    grpc::ClientContext context;
    health::HealthCheckRequest request;
    request.set_service(service);
    health::HealthCheckResponse response;
    const auto status = health::Health::NewStub(channel)->Check(&context, request, &response);
    return status.ok() ? response.status() : health::HealthCheckResponse::SERVICE_UNKNOWN;
  }
  void wait_for_call(const std::shared_ptr<UpstreamScript>& script) {
    while (script->last().message.find("tools/call") == std::string::npos) std::this_thread::yield();
  }

  Bench bench_;
  FakeHandles handles_;
  FetchService fetch_;
  worker::GrpcDoorOptions options_;
  std::unique_ptr<worker::GrpcDoor> door_;
};

TEST_F(GrpcDoor, answers_an_invoke_as_the_runtime_does) {
  const auto outcome = invoke(connect(), posted(kPing));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.response.status(), 200);
  EXPECT_EQ(outcome.response.body(), kPong);
  EXPECT_EQ(outcome.response.headers().at("content-type"), "application/json");
  EXPECT_FALSE(outcome.response.has_body_handle());
}

TEST_F(GrpcDoor, carries_a_session_from_initialize_to_close) {
  const auto channel = connect();
  auto request = posted(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}})");
  const auto opened = invoke(channel, request);
  request = posted(kPing);
  request.set_session_id(opened.response.headers().at("mcp-session-id"));
  EXPECT_EQ(invoke(channel, request).response.status(), 200);
  grpc::ClientContext context;
  contract::McpResponse closed;
  ASSERT_TRUE(contract::McpRuntime::NewStub(channel)->CloseSession(&context, request, &closed).ok());
  EXPECT_EQ(closed.status(), 204);
  EXPECT_EQ(invoke(channel, request).response.status(), 404);
}

TEST_F(GrpcDoor, a_method_that_is_stated_is_honoured) {
  auto request = posted(kPing);
  request.set_method("PUT");
  const auto outcome = invoke(connect(), request);
  EXPECT_EQ(outcome.response.status(), 405);
  EXPECT_EQ(outcome.response.headers().at("allow"), "POST");
}

TEST_F(GrpcDoor, a_stream_without_a_session_is_one_chunk_that_says_405) {
  const auto channel = connect();
  grpc::ClientContext context;
  contract::McpRequest request;
  const auto reader = contract::McpRuntime::NewStub(channel)->InvokeStream(&context, request);
  contract::McpChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_TRUE(chunk.done());
  EXPECT_EQ(chunk.error_status(), 405);
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(GrpcDoor, a_stream_with_a_handle_that_names_nothing_is_refused) {
  const auto channel = connect();
  grpc::ClientContext context;
  const auto reader = contract::McpRuntime::NewStub(channel)->InvokeStream(&context, handled());
  contract::McpChunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcDoor, a_body_over_the_limit_is_413_and_over_twice_the_limit_exhausted) {
  bench_.options.max_body_bytes = 1U << 20U;
  const auto channel = connect();
  const auto over = invoke(channel, posted(std::string((1U << 20U) + 1, ' ')));
  ASSERT_TRUE(over.status.ok());
  EXPECT_EQ(over.response.status(), 413);
  const auto far_over = invoke(channel, posted(std::string((2U << 20U) + 1, ' ')));
  EXPECT_EQ(far_over.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcDoor, large_answers_pass) {
  const auto script = bench_.upstream("a", {"t"});
  const std::string large(8U << 20U, 'x');
  script->answer = [&](const UpstreamRequest& request) {
    return mcp::result_body(std::to_string(request.id), "\"" + large + "\"");
  };
  const auto outcome = invoke(connect(), posted(tool_call("t")));
  EXPECT_EQ(outcome.response.body(), mcp::result_body("1", "\"" + large + "\""));
}

TEST_F(GrpcDoor, a_deadline_reaches_the_upstream_and_its_passing_cancels) {
  const auto script = bench_.upstream("a", {"t"});
  const auto channel = connect();
  invoke(channel, posted(tool_call("t")));
  EXPECT_EQ(script->last().deadline, std::min(script->last().deadline, bench_.clock.now() + std::chrono::seconds(60)));
  script->hold_calls = true;
  const auto outcome = invoke(channel, posted(tool_call("t")), std::chrono::milliseconds(100));
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  while (bench_.runtime->stats().under_way != 0) std::this_thread::yield();
  const std::lock_guard lock(script->mutex);
  EXPECT_EQ(script->cancelled.size(), 1U);
}

TEST_F(GrpcDoor, a_client_that_cancels_or_dies_cancels_its_call) {
  const auto script = bench_.upstream("a", {"t"});
  script->hold_calls = true;
  auto channel = connect();
  grpc::ClientContext context;
  std::thread caller([&] {
    contract::McpResponse response;
    const auto status = contract::McpRuntime::NewStub(channel)->Invoke(&context, posted(tool_call("t")), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  });
  wait_for_call(script);
  context.TryCancel();
  caller.join();
  while (bench_.runtime->stats().under_way != 0) std::this_thread::yield();
  const std::lock_guard lock(script->mutex);
  EXPECT_EQ(script->cancelled.size(), 1U);
}

TEST_F(GrpcDoor, health_is_told_both_ways_and_turns_with_draining) {
  const auto channel = connect();
  EXPECT_EQ(health_of(channel), "ok full 9.9");
  EXPECT_EQ(standard_health(channel, ""), health::HealthCheckResponse::SERVING);
  EXPECT_EQ(standard_health(channel, "contextforge.mcp.runtime.v1.McpRuntime"), health::HealthCheckResponse::SERVING);
  EXPECT_EQ(standard_health(channel, "nobody"), health::HealthCheckResponse::SERVICE_UNKNOWN);
  door_->announce_drain();
  EXPECT_EQ(health_of(channel), "draining full 9.9");
  EXPECT_EQ(standard_health(channel, ""), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(invoke(channel, posted(kPing)).response.status(), 200) << "calls go on";
}

TEST_F(GrpcDoor, draining_waits_for_what_is_under_way) {
  const auto script = bench_.upstream("a", {"t"});
  script->hold_calls = true;
  const auto channel = connect();
  std::thread caller([&] { EXPECT_EQ(invoke(channel, posted(tool_call("t"))).response.status(), 200); });
  wait_for_call(script);
  std::thread drainer([&] { door_->drain(std::chrono::minutes(1)); });
  script->release();
  caller.join();
  drainer.join();
  auto late = socket_pair(SocketKind::kStream, false).value();
  door_->adopt(std::move(late.first));
  EXPECT_EQ(invoke(rpc::channel_on_fd(std::move(late.second), kMaxMessage), posted(kPing)).status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcDoor, a_client_that_reads_nothing_does_not_hold_the_drain_up) {
  EXPECT_EQ(invoke(connect(), posted(kPing)).response.status(), 200);
  auto silent = socket_pair(SocketKind::kStream, false).value();
  // A client's preface, and settings without any.
  constexpr std::string_view kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  ASSERT_EQ(::send(silent.second.get(), kHello.data(), kHello.size(), 0), static_cast<ssize_t>(kHello.size()));
  door_->adopt(std::move(silent.first));
  const auto start = std::chrono::steady_clock::now();
  door_->drain(std::chrono::minutes(10));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::minutes(1));
}

TEST_F(GrpcDoor, what_outlasts_the_drain_is_cancelled) {
  const auto script = bench_.upstream("a", {"t"});
  script->hold_calls = true;
  const auto channel = connect();
  std::thread caller([&] { EXPECT_FALSE(invoke(channel, posted(tool_call("t"))).status.ok()); });
  wait_for_call(script);
  door_.reset();
  caller.join();
  EXPECT_EQ(script->cancelled.size(), 1U);
  while (bench_.runtime->stats().under_way != 0) std::this_thread::yield();
}

TEST_F(GrpcDoor, a_handle_brings_the_body_and_takes_the_answer_back) {
  options_.handles = &handles_;
  const auto channel = connect();
  auto outcome = invoke(channel, handled());
  EXPECT_EQ(outcome.response.status(), 200);
  EXPECT_EQ(outcome.response.body(), "");
  EXPECT_EQ(outcome.response.body_handle().ring(), 42U);
  EXPECT_EQ(outcome.response.body_handle().first_block(), 7U);
  EXPECT_EQ(outcome.response.body_handle().length(), kPong.size());
  EXPECT_EQ(handles_.lent, kPong);
  EXPECT_EQ(bench_.runtime->stats().by_door[static_cast<std::size_t>(Door::kHandle)], 1U);
  handles_.lend_fails = Error{Code::kFull, 0, "full"};
  outcome = invoke(channel, handled());
  EXPECT_EQ(outcome.response.body(), kPong) << "full is not an error";
  handles_.lend_fails = Error{Code::kInvalid, 0, "gone"};
  EXPECT_EQ(invoke(channel, handled()).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  handles_.body = R"({"jsonrpc":"2.0","method":"x"})";
  outcome = invoke(channel, handled());
  EXPECT_EQ(outcome.response.status(), 202);
  EXPECT_FALSE(outcome.response.has_body_handle());
}

TEST_F(GrpcDoor, a_handle_that_names_nothing_of_ours_is_an_invalid_argument) {
  options_.handles = &handles_;
  const auto channel = connect();
  auto foreign = handled();
  foreign.mutable_body_handle()->set_ring(43);
  auto outcome = invoke(channel, foreign);
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(outcome.status.error_message(), "no such handle");
  auto twice = handled();
  twice.set_body("x");
  EXPECT_EQ(invoke(channel, twice).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcDoor, without_rings_every_handle_is_refused) {
  EXPECT_EQ(invoke(connect(), handled()).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcDoor, an_extra_service_is_served_beside_the_contract) {
  options_.extra_service = &fetch_;
  const auto channel = connect();
  grpc::ClientContext context;
  ::ringside::ring::v1::FetchResponse response;
  ASSERT_TRUE(::ringside::ring::v1::RingService::NewStub(channel)->Fetch(&context, {}, &response).ok());
  EXPECT_EQ(response.body(), "fetched");
}

TEST_F(GrpcDoor, an_old_connection_is_asked_to_reconnect) {
  options_.max_connection_age = std::chrono::milliseconds(50);
  const auto channel = connect();
  while (invoke(channel, posted(kPing)).status.ok()) std::this_thread::yield();
}

TEST_F(GrpcDoor, a_connection_that_speaks_no_http2_harms_nobody) {
  const auto channel = connect();
  auto rubbish = socket_pair(SocketKind::kStream, false).value();
  door_->adopt(std::move(rubbish.first));
  ASSERT_TRUE(send_message(rubbish.second.get(), "GET / HTTP/1.1\r\n\r\n").ok());
  rubbish.second.reset();
  EXPECT_EQ(invoke(channel, posted(kPing)).response.status(), 200);
}

}  // namespace
}  // namespace ringside::test
