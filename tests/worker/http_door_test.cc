// The HTTP door over real sockets, spoken to byte by byte.

#include "worker/doors/http_door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/unix_socket.h"
#include "tests/worker/fakes.h"
#include "tests/worker/raw_http.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

class HttpDoor : public ::testing::Test {
 protected:
  RawHttp connect() {
    if (!door_) door_ = std::make_unique<worker::HttpDoor>(bench_.start());
    auto pair = socket_pair(SocketKind::kStream, false).value();
    door_->adopt(std::move(pair.first));
    return RawHttp(std::move(pair.second));
  }

  Bench bench_;
  std::unique_ptr<worker::HttpDoor> door_;
};

TEST_F(HttpDoor, answers_a_post_as_the_runtime_does) {
  auto http = connect();
  const auto answer = http.ask("POST", "/mcp", kPing);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, kPong);
  EXPECT_EQ(answer.headers.get("content-type"), "application/json");
  EXPECT_EQ(bench_.runtime->stats().by_door[static_cast<std::size_t>(Door::kHttp)], 1U);
}

TEST_F(HttpDoor, carries_a_session_from_initialize_to_delete) {
  auto http = connect();
  const auto opened = http.ask(
      "POST", "/mcp", R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}})");
  const std::string session = "mcp-session-id: " + std::string(opened.headers.get("mcp-session-id")) + "\r\n";
  EXPECT_EQ(http.ask("POST", "/mcp", R"({"jsonrpc":"2.0","method":"notifications/initialized"})", session).status, 202);
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, session).body, kPong);
  const auto stream = http.ask("GET", "/mcp", "", session);
  EXPECT_EQ(stream.status, 405);
  EXPECT_EQ(stream.headers.get("allow"), "POST, DELETE");
  EXPECT_EQ(http.ask("DELETE", "/mcp", "", session).status, 204);
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, session).status, 404);
}

TEST_F(HttpDoor, takes_path_and_query_apart) {
  auto http = connect();
  EXPECT_EQ(http.ask("POST", "/mcp?session_id=nobody", kPing).status, 404);
  EXPECT_EQ(http.ask("POST", "/servers/a%20b/mcp", kPing).status, 200);
  EXPECT_EQ(http.ask("POST", "/servers/a/mcp", kPing, "x-contextforge-server-id: b\r\n").status, 400);
  EXPECT_EQ(http.ask("POST", "/elsewhere", kPing).status, 404);
  EXPECT_EQ(http.ask("PUT", "/mcp", kPing).status, 405);
}

TEST_F(HttpDoor, takes_the_auth_context_from_headers) {
  auto http = connect();
  const std::string context = "x-contextforge-auth-context: " + auth_of("a@x") + "\r\n";
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, context).status, 200);
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, "x-contextforge-auth-context: !\r\n").status, 400);
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, context + "x-contextforge-auth-expires-ms: 1\r\n").status, 401);
  for (const std::string wrong : {"-1", "x", "1 ", "1.5", "99999999999999999999999"}) {
    const auto answer = http.ask("POST", "/mcp", kPing, context + "x-contextforge-auth-expires-ms: " + wrong + "x\r\n");
    EXPECT_EQ(answer.status, 400) << wrong;
  }
}

TEST_F(HttpDoor, health_is_answered_here_and_tells_of_draining) {
  auto http = connect();
  const auto good = http.ask("GET", "/health", "");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.body, R"({"status":"ok","mode":"full","version":"9.9"})");
  EXPECT_EQ(http.ask("POST", "/health", "").status, 405);
  door_->announce_drain();
  const auto draining = http.ask("GET", "/health", "");
  EXPECT_EQ(draining.status, 503);
  EXPECT_THAT(draining.body, HasSubstr("draining"));
  EXPECT_EQ(http.ask("POST", "/mcp", kPing).status, 200) << "calls go on";
}

TEST_F(HttpDoor, a_client_that_goes_away_does_not_cancel_its_call) {
  const auto script = bench_.upstream("a", {"t"});
  script->hold_calls = true;
  {
    auto http = connect();
    http.send("POST", "/mcp", tool_call("t"));
    while (bench_.runtime->stats().under_way == 0 || script->last().message.find("tools/call") == std::string::npos) {
      std::this_thread::yield();
    }
  }
  auto other = connect();
  EXPECT_EQ(other.ask("POST", "/mcp", kPing).status, 200);
  EXPECT_TRUE(script->cancelled.empty());
  script->release();
  while (bench_.runtime->stats().under_way != 0) std::this_thread::yield();
}

TEST_F(HttpDoor, draining_answers_what_is_under_way_and_then_closes) {
  const auto script = bench_.upstream("a", {"t"});
  script->hold_calls = true;
  auto http = connect();
  http.send("POST", "/mcp", tool_call("t"));
  while (script->last().message.find("tools/call") == std::string::npos) std::this_thread::yield();
  std::promise<void> drained;
  door_->drain([&] { drained.set_value(); });
  script->release();
  EXPECT_EQ(http.receive().status, 200);
  drained.get_future().wait();
}

}  // namespace
}  // namespace ringside::test
