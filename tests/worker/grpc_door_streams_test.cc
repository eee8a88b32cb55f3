// Streams through the gRPC door, over real connections.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/unix_socket.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "mcp/sse.h"
#include "rpc/channel.h"
#include "tests/worker/fakes.h"
#include "worker/doors/grpc_door.h"

namespace ringside::test {
namespace {

namespace contract = ::contextforge::mcp::runtime::v1;
using ::testing::HasSubstr;

constexpr int kUsualMessage = 4 << 20;  // what a gRPC client takes that was told nothing

std::string notice(std::size_t bytes, char fill = 'd') {
  return R"({"jsonrpc":"2.0","method":"x","params":{"d":")" + std::string(bytes, fill) + R"("}})";
}

/// One InvokeStream.
struct Listening {
  Listening(const std::shared_ptr<grpc::Channel>& channel, const contract::McpRequest& request)
      : stub(contract::McpRuntime::NewStub(channel)) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
    reader = stub->InvokeStream(&context, request);
  }
  /// The next chunk; a done one without anything at the end.
  contract::McpChunk next() {
    contract::McpChunk chunk;
    if (!reader->Read(&chunk)) chunk.set_done(true);
    return chunk;
  }
  /// All data to the end, and how it ended.
  std::string rest() {
    std::string text;
    contract::McpChunk chunk;
    while (reader->Read(&chunk)) {
      text += chunk.data();
      largest = std::max(largest, chunk.data().size());
      done = done || chunk.done();
    }
    status = reader->Finish();
    return text;
  }

  grpc::ClientContext context;
  std::unique_ptr<contract::McpRuntime::Stub> stub;
  std::unique_ptr<grpc::ClientReader<contract::McpChunk>> reader;
  grpc::Status status;
  std::size_t largest = 0;
  bool done = false;
};

class GrpcStreams : public ::testing::Test {
 protected:
  std::shared_ptr<grpc::Channel> connect() {
    if (!door_) door_ = worker::GrpcDoor::start(bench_.start(), {}).value();
    auto pair = socket_pair(SocketKind::kStream, false).value();
    door_->adopt(std::move(pair.first));
    return rpc::channel_on_fd(std::move(pair.second), kUsualMessage);
  }
  std::unique_ptr<Listening> call() {
    a_->hold_calls = true;
    contract::McpRequest request;
    request.set_method("POST");
    request.set_path("/mcp");
    request.set_body(tool_call("t"));
    auto listening = std::make_unique<Listening>(connect(), request);
    while (a_->last().message.find("tools/call") == std::string::npos) std::this_thread::yield();
    return listening;
  }
  std::unique_ptr<Listening> listen() {
    const auto channel = connect();
    contract::McpRequest request;
    request.set_session_id(bench_.open_session());
    return std::make_unique<Listening>(channel, request);
  }
  void wait_until_nothing_is_under_way() const {
    while (bench_.runtime->stats().under_way != 0) std::this_thread::yield();
  }

  Bench bench_;
  std::shared_ptr<UpstreamScript> a_ = bench_.upstream("a", {"t"});
  std::unique_ptr<worker::GrpcDoor> door_;
};

TEST_F(GrpcStreams, the_head_is_on_the_first_chunk_and_the_end_on_the_last) {
  const auto listening = call();
  a_->say(notice(1));
  const auto first = listening->next();
  EXPECT_EQ(first.status(), 200);
  EXPECT_EQ(first.headers().at("content-type"), "text/event-stream");
  EXPECT_FALSE(first.done());
  EXPECT_EQ(first.error_status(), 0);
  std::string text = first.data();
  while (text.empty()) text += listening->next().data();
  EXPECT_EQ(text, mcp::format_sse(notice(1)));
  a_->say(notice(2));
  const auto second = listening->next();
  EXPECT_EQ(second.data(), mcp::format_sse(notice(2)));
  EXPECT_EQ(second.status(), 0);
  EXPECT_TRUE(second.headers().empty());
  a_->release();
  EXPECT_EQ(listening->rest(), mcp::format_sse(R"({"jsonrpc":"2.0","id":1,"result":{"from":"a"}})"));
  EXPECT_TRUE(listening->done);
  EXPECT_TRUE(listening->status.ok());
}

TEST_F(GrpcStreams, an_answer_without_events_is_one_chunk) {
  const auto listening = call();
  a_->release();
  const auto only = listening->next();
  EXPECT_TRUE(only.done());
  EXPECT_EQ(only.status(), 200);
  EXPECT_EQ(only.headers().at("content-type"), "application/json");
  EXPECT_EQ(only.data(), R"({"jsonrpc":"2.0","id":1,"result":{"from":"a"}})");
  EXPECT_EQ(listening->rest(), "");
  EXPECT_TRUE(listening->status.ok());
}

TEST_F(GrpcStreams, a_failure_is_one_chunk_with_an_error_status) {
  const auto listening = call();
  a_->release(Result<std::string>(Error{Code::kUnavailable, 0, "down"}));
  const auto only = listening->next();
  EXPECT_TRUE(only.done());
  EXPECT_EQ(only.error_status(), 502);
  EXPECT_EQ(only.status(), 502);
  EXPECT_THAT(only.data(), HasSubstr("upstream is not available"));
}

TEST_F(GrpcStreams, a_listener_gets_its_head_at_once_and_then_what_there_is_to_hear) {
  const auto listening = listen();
  const auto head = listening->next();
  EXPECT_EQ(head.status(), 200);
  EXPECT_TRUE(head.data().empty());
  a_->changed();
  EXPECT_THAT(listening->next().data(), HasSubstr("tools/list_changed"));
  bench_.runtime->end_streams();
  EXPECT_EQ(listening->rest(), "");
  EXPECT_TRUE(listening->done);
  EXPECT_TRUE(listening->status.ok());
}

TEST_F(GrpcStreams, a_slow_reader_holds_the_upstream_up_and_loses_nothing) {
  const auto listening = call();
  std::string sent;
  for (char fill = 'a'; sent.empty() || fill != 'a'; fill = fill == 'z' ? 'b' : static_cast<char>(fill + 1)) {
    ASSERT_LT(sent.size(), 64UL << 20U) << "nobody reads, and nobody minds";
    sent += mcp::format_sse(notice(100'000, fill));
    if (!a_->say(notice(100'000, fill))) break;
  }
  std::string text;
  while (a_->resumed.empty()) text += listening->next().data();
  EXPECT_EQ(a_->resumed, std::vector<std::uint64_t>{a_->last().id});
  a_->release();
  sent += mcp::format_sse(R"({"jsonrpc":"2.0","id":1,"result":{"from":"a"}})");
  text += listening->rest();
  EXPECT_TRUE(text == sent);
  EXPECT_TRUE(listening->status.ok());
}

TEST_F(GrpcStreams, chunks_are_small_enough_for_a_client_with_the_usual_limit) {
  const auto listening = call();
  for (int i = 0; i < 100; ++i) a_->say(notice(100'000));
  a_->release();
  EXPECT_EQ(listening->rest().size(), 100 * mcp::format_sse(notice(100'000)).size() +
                                          mcp::format_sse(R"({"jsonrpc":"2.0","id":1,"result":{"from":"a"}})").size());
  EXPECT_TRUE(listening->status.ok()) << listening->status.error_message();
  EXPECT_LE(listening->largest, 1U << 20U);
}

TEST_F(GrpcStreams, a_whole_answer_beyond_a_chunk_comes_in_several) {
  const auto listening = call();
  const std::string answer = mcp::result_body(std::to_string(a_->last().id), notice(6'000'000));
  a_->release(Result<std::string>(answer));
  const auto first = listening->next();
  EXPECT_EQ(first.status(), 200);
  EXPECT_FALSE(first.done());
  EXPECT_EQ(first.data() + listening->rest(), mcp::result_body("1", notice(6'000'000)));
  EXPECT_TRUE(listening->done);
  EXPECT_TRUE(listening->status.ok()) << listening->status.error_message();
}

TEST_F(GrpcStreams, one_that_is_never_read_is_cut_off_beyond_the_limit) {
  bench_.options.max_body_bytes = 1U << 20U;
  const auto listening = call();
  const auto hears = a_->held.front().first.on_message;
  for (int i = 0; i < 1000 && a_->cancelled.empty(); ++i) hears(notice(100'000));
  ASSERT_EQ(a_->cancelled.size(), 1U);
  EXPECT_THAT(listening->rest(), HasSubstr("ddd"));
  EXPECT_FALSE(listening->done);
  EXPECT_EQ(listening->status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  wait_until_nothing_is_under_way();
}

TEST_F(GrpcStreams, a_client_that_goes_away_cancels_its_call) {
  const auto listening = call();
  a_->say(notice(1));
  (void)listening->next();
  listening->context.TryCancel();
  wait_until_nothing_is_under_way();
  EXPECT_EQ(a_->cancelled.size(), 1U);
  EXPECT_EQ(listening->rest(), "");
}

TEST_F(GrpcStreams, a_client_that_goes_away_unread_cancels_its_call_too) {
  const auto listening = call();
  while (a_->say(notice(100'000))) {
  }
  listening->context.TryCancel();
  wait_until_nothing_is_under_way();
  EXPECT_EQ(a_->cancelled.size(), 1U);
}

TEST_F(GrpcStreams, a_listener_that_goes_away_is_forgotten) {
  const auto listening = listen();
  (void)listening->next();
  EXPECT_EQ(bench_.runtime->stats().under_way, 1U);
  listening->context.TryCancel();
  wait_until_nothing_is_under_way();
  a_->changed();
}

}  // namespace
}  // namespace ringside::test
