// The edge over real sockets: what strangers may say, and what of it is believed.

#include "worker/doors/edge_door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unix_socket.h"
#include "tests/worker/fakes.h"
#include "tests/worker/raw_http.h"

namespace ringside::test {
namespace {

constexpr std::string_view kInitialize =
    R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}})";

class EdgeDoor : public ::testing::Test {
 protected:
  RawHttp connect() {
    if (!door_) door_ = worker::EdgeDoor::open(bench_.start(), options_).value();
    auto pair = socket_pair(SocketKind::kStream, false).value();
    door_->adopt(std::move(pair.first), "192.0.2.7");
    return RawHttp(std::move(pair.second));
  }
  static std::string session_line(const mcp::Response& answer) {
    return "mcp-session-id: " + std::string(answer.headers.get("mcp-session-id")) + "\r\n";
  }

  Bench bench_;
  worker::EdgeDoorOptions options_;
  std::unique_ptr<worker::EdgeDoor> door_;
};

TEST_F(EdgeDoor, serves_a_client_of_this_machine) {
  auto http = connect();
  const auto opened = http.ask("POST", "/mcp", kInitialize, "origin: http://localhost:3000\r\n");
  ASSERT_EQ(opened.status, 200) << opened.body;
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, session_line(opened)).body, kPong);
  EXPECT_EQ(http.ask("DELETE", "/mcp", "", session_line(opened)).status, 204);
}

TEST_F(EdgeDoor, a_foreign_origin_is_403) {
  auto http = connect();
  const auto answer = http.ask("POST", "/mcp", kInitialize, "origin: http://evil.example.com\r\n");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.body, R"({"detail":"Origin not allowed"})");
  EXPECT_EQ(http.ask("GET", "/live", "", "origin: null\r\n").status, 403);
}

TEST_F(EdgeDoor, a_foreign_host_is_403) {
  auto http = connect();
  http.set_host("evil.example.com");
  const auto answer = http.ask("GET", "/live", "");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.body, R"({"detail":"Host not allowed"})");
}

TEST_F(EdgeDoor, a_stranger_cannot_state_who_he_is) {
  auto http = connect();
  // Each of these would be refused, or would open another scope, where it was believed.
  const auto opened = http.ask("POST", "/mcp", kInitialize,
                               "x-contextforge-auth-context: !\r\nx-contextforge-auth-expires-ms: 1\r\n"
                               "x-contextforge-server-id: other\r\nx-ringside-retry: 1\r\n");
  ASSERT_EQ(opened.status, 200) << opened.body;
  EXPECT_EQ(http.ask("POST", "/mcp", kPing, session_line(opened)).status, 200) << "the session has no other scope";
}

TEST_F(EdgeDoor, a_post_without_a_session_is_400_unless_configured) {
  auto http = connect();
  EXPECT_EQ(http.ask("POST", "/mcp", kPing).status, 400);
  bench_.options.edge_requires_session = false;
  door_.reset();
  auto another = connect();
  EXPECT_EQ(another.ask("POST", "/mcp", kPing).body, kPong);
}

TEST_F(EdgeDoor, has_no_operators_pages) {
  auto http = connect();
  EXPECT_EQ(http.ask("GET", "/live", "").status, 200);
  for (const char* path : {"/health", "/ready", "/metrics", "/"}) {
    EXPECT_EQ(http.ask("GET", path, "").status, 404) << path;
  }
}

}  // namespace
}  // namespace ringside::test
