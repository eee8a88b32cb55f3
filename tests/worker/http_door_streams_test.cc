// Streams through the HTTP door, over real sockets, spoken to byte by byte.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/unix_socket.h"
#include "mcp/sse.h"
#include "tests/worker/fakes.h"
#include "tests/worker/raw_http.h"
#include "worker/doors/http_door.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

const std::string kTakesEvents = "accept: application/json, text/event-stream\r\n";
const std::string kResult = R"({"jsonrpc":"2.0","id":1,"result":{"from":"a"}})";

std::string notice(std::size_t bytes) {
  return R"({"jsonrpc":"2.0","method":"x","params":{"d":")" + std::string(bytes, 'd') + R"("}})";
}

class HttpStreams : public ::testing::Test {
 protected:
  RawHttp connect() {
    if (!door_) door_ = std::make_unique<worker::HttpDoor>(bench_.start());
    auto pair = socket_pair(SocketKind::kStream, false).value();
    door_->adopt(std::move(pair.first));
    return RawHttp(std::move(pair.second));
  }
  /// A tools/call that its upstream keeps.
  RawHttp call(const std::string& headers = kTakesEvents) {
    a_->hold_calls = true;
    auto http = connect();
    http.send("POST", "/mcp", tool_call("t"), headers);
    while (a_->last().message.find("tools/call") == std::string::npos) std::this_thread::yield();
    return http;
  }
  RawHttp listen() {
    auto http = connect();
    http.send("GET", "/mcp", "", kTakesEvents + "mcp-session-id: " + bench_.open_session() + "\r\n");
    const auto head = http.receive();
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.get("content-type"), "text/event-stream");
    EXPECT_EQ(head.headers.get("transfer-encoding"), "chunked");
    return http;
  }
  void wait_until_nothing_is_under_way() const {
    while (bench_.runtime->stats().under_way != 0) std::this_thread::yield();
  }

  Bench bench_;
  std::shared_ptr<UpstreamScript> a_ = bench_.upstream("a", {"t"});
  std::unique_ptr<worker::HttpDoor> door_;
};

TEST_F(HttpStreams, a_post_becomes_an_event_stream_with_its_first_event) {
  auto http = call();
  a_->say(notice(1));
  const auto head = http.receive();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.get("content-type"), "text/event-stream");
  EXPECT_EQ(head.headers.get("cache-control"), "no-cache");
  EXPECT_EQ(http.chunk(), mcp::format_sse(notice(1)));
  a_->say(notice(2));
  EXPECT_EQ(http.chunk(), mcp::format_sse(notice(2)));
  a_->release();
  EXPECT_EQ(http.chunk(), mcp::format_sse(kResult));
  EXPECT_EQ(http.chunk(), "");
  EXPECT_EQ(http.ask("POST", "/mcp", kPing).body, kPong) << "the connection goes on";
}

TEST_F(HttpStreams, a_post_without_events_is_answered_with_json) {
  auto http = call();
  a_->release();
  const auto answer = http.receive();
  EXPECT_EQ(answer.headers.get("content-type"), "application/json");
  EXPECT_EQ(answer.body, kResult);
}

TEST_F(HttpStreams, a_post_that_accepts_no_events_gets_none) {
  auto http = call("accept: application/json\r\n");
  EXPECT_FALSE(a_->last().on_message);
  a_->release();
  EXPECT_EQ(http.receive().body, kResult);
}

TEST_F(HttpStreams, a_get_that_accepts_events_hears_what_there_is_to_hear) {
  auto http = listen();
  a_->changed();
  EXPECT_EQ(http.chunk(), mcp::format_sse(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})"));
  bench_.runtime->end_streams();
  EXPECT_EQ(http.chunk(), "");
  EXPECT_EQ(http.ask("POST", "/mcp", kPing).body, kPong);
}

TEST_F(HttpStreams, a_get_that_goes_away_frees_its_listener) {
  {
    auto http = listen();
    EXPECT_EQ(bench_.runtime->stats().under_way, 1U);
  }
  wait_until_nothing_is_under_way();
  a_->changed();
  auto other = connect();
  EXPECT_EQ(other.ask("POST", "/mcp", kPing).body, kPong);
}

TEST_F(HttpStreams, a_slow_reader_holds_the_upstream_up_and_loses_nothing) {
  auto http = call();
  std::string sent;
  do {
    ASSERT_LT(sent.size(), 64UL << 20U) << "nobody reads, and nobody minds";
    sent += mcp::format_sse(notice(100'000));
  } while (a_->say(notice(100'000)));
  EXPECT_EQ(http.receive().status, 200);
  std::string text;
  while (text.size() < sent.size()) text += http.chunk().value_or("");
  while (a_->resumed.empty()) std::this_thread::yield();
  EXPECT_EQ(a_->resumed, std::vector<std::uint64_t>{a_->last().id});
  a_->release();
  EXPECT_TRUE(text == sent);
  EXPECT_EQ(http.chunk(), mcp::format_sse(kResult));
  EXPECT_EQ(http.chunk(), "");
}

TEST_F(HttpStreams, a_slow_reader_that_goes_away_holds_nobody_up_any_more) {
  {
    auto http = call();
    while (a_->say(notice(100'000))) {
    }
  }
  while (a_->resumed.empty()) std::this_thread::yield();
  EXPECT_TRUE(a_->cancelled.empty()) << "a call goes on without its client";
  EXPECT_TRUE(a_->say(notice(100'000)));
  a_->release();
  wait_until_nothing_is_under_way();
}

TEST_F(HttpStreams, one_that_leaves_more_than_a_body_unread_loses_its_connection) {
  bench_.options.max_body_bytes = 1U << 20U;
  auto http = call();
  const auto hears = a_->held.front().first.on_message;
  for (int i = 0; i < 30; ++i) hears(notice(100'000));
  a_->release();
  EXPECT_EQ(http.receive().status, 200);
  std::optional<std::string> chunk = http.chunk();
  while (chunk && !chunk->empty()) chunk = http.chunk();
  EXPECT_FALSE(chunk.has_value()) << "no end, so that the client knows";
  wait_until_nothing_is_under_way();
}

TEST_F(HttpStreams, draining_ends_what_only_listens) {
  auto http = listen();
  bench_.runtime->end_streams();
  std::promise<void> drained;
  door_->drain([&] { drained.set_value(); });
  EXPECT_EQ(http.chunk(), "");
  drained.get_future().wait();
}

}  // namespace
}  // namespace ringside::test
