// What a Streamable HTTP upstream promises: its session, the forms of an answer, and the bounds of its pool.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "tests/worker/upstream/asking.h"
#include "tests/worker/upstream/http_peer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Upstream> upstream_of(const HttpPeer& peer, HttpRoads& roads,
                                      std::map<std::string, std::string> headers = {}) {
  HttpUpstreamOptions options;
  options.name = "peer";
  options.url = peer.url();
  options.headers = std::move(headers);
  options.client_version = "1.2.3";
  return make_http_upstream(std::move(options), roads);
}

std::vector<std::string> methods_of(const HttpPeer& peer) {
  std::vector<std::string> methods;
  for (const auto& request : peer.requests()) {
    methods.push_back(request.rpc_method.empty() ? request.method : request.rpc_method);
  }
  return methods;
}

std::string event(std::string_view data) { return "data: " + std::string(data) + "\n\n"; }

class HttpUpstreamTest : public testing::Test {
 protected:
  HttpRoads roads_{http::ClientOptions{}};
};

TEST_F(HttpUpstreamTest, the_bytes_of_requests_and_answers_pass_unchanged) {
  HttpPeer peer(good_server());
  const std::string odd = R"({"b":1e2,"a":12345678901234567890,"id":"1","é":"\u00e9\ud83d\ude00"})";
  const auto upstream = upstream_of(peer, roads_);
  const auto answer = ask(*upstream, 7, "echo", odd).get();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, R"({"jsonrpc":"2.0","id":7,"result":)" + odd + "}");
  EXPECT_EQ(peer.requests().back().body, request_text(7, "echo", odd));
}

TEST_F(HttpUpstreamTest, a_session_is_opened_used_and_closed) {
  HttpPeer peer(good_server());
  auto upstream =
      upstream_of(peer, roads_, {{"Authorization", "Bearer x"}, {"Accept", "text/html"}, {"bad name", "x"}});
  EXPECT_EQ(upstream->status().state, "idle");
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo", "[1]")), "[1]");
  EXPECT_EQ(upstream->status().state, "ready");
  EXPECT_EQ(upstream->status().kind, "http");
  upstream.reset();
  EXPECT_THAT(methods_of(peer), ElementsAre("initialize", "notifications/initialized", "echo", "DELETE"));
  auto requests = peer.requests();
  EXPECT_EQ(requests[0].body,
            R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",)"
            R"("capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},)"
            R"("clientInfo":{"name":"ringside","version":"1.2.3"}}})");
  EXPECT_EQ(requests[0].headers.count("mcp-session-id"), 0U);
  EXPECT_EQ(requests[0].headers.count("mcp-protocol-version"), 0U);
  for (auto& request : requests) {
    EXPECT_EQ(request.headers["accept"], "application/json, text/event-stream");
    EXPECT_EQ(request.headers["content-type"], "application/json");
    EXPECT_EQ(request.headers["authorization"], "Bearer x");
    if (request.rpc_method == "initialize") continue;
    EXPECT_EQ(request.headers["mcp-session-id"], "session-1");
    EXPECT_EQ(request.headers["mcp-protocol-version"], "2025-06-18");
  }
}

TEST_F(HttpUpstreamTest, a_server_without_sessions_is_served_and_not_said_goodbye_to) {
  HttpPeer peer(good_server(nullptr, ""));
  auto upstream = upstream_of(peer, roads_);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  EXPECT_EQ(peer.requests().back().headers.count("mcp-session-id"), 0U);
  upstream.reset();
  EXPECT_THAT(methods_of(peer), ElementsAre("initialize", "notifications/initialized", "echo"));
}

TEST_F(HttpUpstreamTest, requests_of_the_first_moment_share_one_handshake) {
  HttpPeer peer(good_server());
  const auto upstream = upstream_of(peer, roads_);
  std::vector<Asked> asked;
  for (std::uint64_t id = 1; id <= 200; ++id)
    asked.push_back(ask(*upstream, id, "echo", "[" + std::to_string(id) + "]"));
  for (std::uint64_t id = 1; id <= 200; ++id)
    EXPECT_EQ(result_of(std::move(asked[id - 1])), "[" + std::to_string(id) + "]");
  EXPECT_EQ(peer.requests().size(), 202U);
}

TEST_F(HttpUpstreamTest, a_thousand_calls_open_no_more_connections_than_the_pool_holds) {
  HttpPeer peer(good_server());
  const auto upstream = upstream_of(peer, roads_);
  std::vector<Asked> asked;
  for (std::uint64_t id = 1; id <= 1000; ++id) asked.push_back(ask(*upstream, id, "echo"));
  for (auto& one : asked) EXPECT_TRUE(one.get().ok());
  EXPECT_LE(peer.connections(), 8U);
  EXPECT_EQ(upstream->status().calls, 1000U);
}

TEST_F(HttpUpstreamTest, a_stream_split_at_every_byte_gives_its_answer) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.begin_events();
    to.trickle(": hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":" +
               request.rpc_id + ",\"result\":\"\xF0\x9F\x98\x80\"}\r\n\r\n");
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "\"\xF0\x9F\x98\x80\"");
}

TEST_F(HttpUpstreamTest, json_lines_give_their_answer_however_they_are_split_and_end) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.write("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson; charset=utf-8\r\nConnection: close\r\n\r\n");
    to.trickle(progress_of(1) + "\r\n\n" + mcp::result_body(request.rpc_id, "\"\xF0\x9F\x98\x80\""));
    to.hang_up();
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  Ear ear;
  EXPECT_EQ(result_of(ask_hearing(*upstream, 1, "echo", "{}", ear.hears())), "\"\xF0\x9F\x98\x80\"");
  EXPECT_THAT(ear.heard(), ElementsAre(progress_of(1)));
}

TEST_F(HttpUpstreamTest, a_handshake_answered_by_a_stream_counts) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "initialize") return false;
    to.begin_events();
    to.write(event(mcp::result_body("0", R"({"protocolVersion":"2024-11-05"})")));
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  EXPECT_EQ(peer.requests().back().headers["mcp-protocol-version"], "2024-11-05");
}

TEST_F(HttpUpstreamTest, other_messages_of_a_stream_are_heard_and_questions_answered) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.begin_events();
    to.write(event(R"({"jsonrpc":"2.0","id":"p","method":"ping"})"));
    to.write(event(R"({"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{}})"));
    to.write(event(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})"));
    to.write(event(R"({"jsonrpc":"2.0","method":"notifications/progress","params":{}})"));
    to.write(event("<html>") + event(mcp::result_body("4711", "{}")));
    to.write(event(mcp::result_body(request.rpc_id, "[1]")));
    return true;
  }));
  std::atomic<int> changes = 0;
  const auto upstream = upstream_of(peer, roads_);
  upstream->on_tools_changed([&] { ++changes; });
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "[1]");
  EXPECT_EQ(changes, 1);
  EXPECT_TRUE(peer.wait_for(1, [](const PeerRequest& request) {
    return request.body == R"({"jsonrpc":"2.0","id":"p","result":{}})" &&
           request.headers.at("mcp-session-id") == "session-1";
  }));
  EXPECT_TRUE(peer.wait_for(1, [](const PeerRequest& request) {
    return request.body == R"({"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"Method not found"}})";
  }));
}

TEST_F(HttpUpstreamTest, a_stream_that_never_ends_gives_its_connection_back_after_the_answer) {
  std::atomic<int> let_go = 0;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.begin_events();
    to.write(event(mcp::result_body(request.rpc_id, "{}")));
    if (to.wait_gone()) {
      ++let_go;
      let_go.notify_all();
    }
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  std::vector<Asked> asked;
  for (std::uint64_t id = 1; id <= 20; ++id) asked.push_back(ask(*upstream, id, "echo"));
  for (auto& one : asked) EXPECT_TRUE(one.get().ok());
  // As many as had to make room for the others; their ends may be seen a little after the last answer.
  for (int seen = let_go; seen < 12; seen = let_go) let_go.wait(seen);
}

TEST_F(HttpUpstreamTest, a_flood_after_the_answer_ends_the_stream) {
  std::atomic<bool> cut = false;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.begin_events();
    to.write(event(mcp::result_body(request.rpc_id, "{}")));
    for (int i = 0; i < 1000; ++i)
      to.write(event(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":")" + std::string(1000, 'x') + "\"}}"));
    cut = to.wait_gone();
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  EXPECT_EQ(result_of(ask(*upstream, 2, "other")), "{}");
}

TEST_F(HttpUpstreamTest, a_lost_session_is_opened_again_and_the_calls_are_sent_again) {
  std::atomic<int> session = 1;
  std::atomic<int> refused = 0;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    const auto current = "s" + std::to_string(session);
    if (request.rpc_method == "initialize") {
      to.answer(200, "application/json", mcp::result_body("0", R"({"protocolVersion":"2025-11-25"})"),
                "mcp-session-id: " + current + "\r\n");
      return true;
    }
    if (request.headers.at("mcp-session-id") == current) return false;
    ++refused;
    to.answer(404, "application/json", mcp::error_body(request.rpc_id, -32001, "Session not found"));
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  session = 2;  // the server was restarted
  std::vector<Asked> asked;
  for (std::uint64_t id = 2; id <= 50; ++id)
    asked.push_back(ask(*upstream, id, "echo", "[" + std::to_string(id) + "]"));
  for (std::uint64_t id = 2; id <= 50; ++id)
    EXPECT_EQ(result_of(std::move(asked[id - 2])), "[" + std::to_string(id) + "]");
  EXPECT_GE(refused, 1);
  const auto methods = methods_of(peer);
  EXPECT_EQ(std::count(methods.begin(), methods.end(), "initialize"), 2);
}

TEST_F(HttpUpstreamTest, an_error_under_a_bad_status_is_an_answer) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.answer(400, "Application/JSON; charset=utf-8", mcp::error_body(request.rpc_id, -32602, "bad"));
    return true;
  }));
  const auto upstream = upstream_of(peer, roads_);
  const auto answer = ask(*upstream, 1, "echo").get();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, mcp::error_body("1", -32602, "bad"));
}

}  // namespace
}  // namespace ringside::worker
