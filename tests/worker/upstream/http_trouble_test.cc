// What a Streamable HTTP upstream promises when its server misbehaves: every call ends once, in the terms of
// upstream.h.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/worker/upstream/asking.h"
#include "tests/worker/upstream/http_peer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

using Answering = std::function<void(const PeerRequest&, PeerConnection&)>;

// A good server but for method "bad".
HttpPeer::Script bad_at(Answering answering) {
  return good_server([answering = std::move(answering)](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "bad") return false;
    answering(request, to);
    return true;
  });
}

class HttpTrouble : public testing::Test {
 protected:
  std::unique_ptr<Upstream> upstream_of(const HttpPeer& peer) { return upstream_at(peer.url()); }
  std::unique_ptr<Upstream> upstream_at(const std::string& url) {
    HttpUpstreamOptions options;
    options.name = "peer";
    options.url = url;
    options.max_body_bytes = 1 << 20U;
    return make_http_upstream(std::move(options), roads_);
  }
  // What a call gets from a server that answers it so; the next call must be served.
  Code code_of(Answering answering) {
    HttpPeer peer(bad_at(std::move(answering)));
    const auto upstream = upstream_of(peer);
    const auto code = ask(*upstream, 1, "bad").code();
    EXPECT_EQ(result_of(ask(*upstream, 2, "echo", "[2]")), "[2]");
    return code;
  }

  HttpRoads roads_{http::ClientOptions{}};
};

TEST_F(HttpTrouble, html_or_anything_else_is_no_answer) {
  const auto html = "<html>" + std::string(200'000, ' ') + "</html>";
  EXPECT_EQ(code_of([&](const PeerRequest&, PeerConnection& to) { to.answer(200, "text/html", html); }),
            Code::kUpstream);
  EXPECT_EQ(code_of([&](const PeerRequest&, PeerConnection& to) { to.answer(502, "text/html", "<html>"); }),
            Code::kUpstream);
  EXPECT_EQ(code_of([](const PeerRequest&, PeerConnection& to) { to.json("{\"jsonrpc\":"); }), Code::kUpstream);
  EXPECT_EQ(code_of([](const PeerRequest&, PeerConnection& to) { to.json(""); }), Code::kUpstream);
  EXPECT_EQ(code_of([](const PeerRequest&, PeerConnection& to) { to.answer(202, "text/plain", ""); }), Code::kUpstream);
  EXPECT_EQ(
      code_of([](const PeerRequest&, PeerConnection& to) { to.answer(302, "text/plain", "", "Location: /\r\n"); }),
      Code::kUpstream);
}

TEST_F(HttpTrouble, an_answer_to_somebody_else_is_no_answer) {
  for (const char* id : {"2", "\"1\"", "null", "1.0"}) {
    EXPECT_EQ(code_of([id](const PeerRequest&, PeerConnection& to) { to.json(mcp::result_body(id, "{}")); }),
              Code::kUpstream)
        << id;
  }
  EXPECT_EQ(code_of([](const PeerRequest&, PeerConnection& to) {
              to.answer(500, "application/json", mcp::error_body("", -32603, "broken"));
            }),
            Code::kUpstream);
}

TEST_F(HttpTrouble, a_death_in_mid_answer_is_no_answer) {
  EXPECT_EQ(code_of([](const PeerRequest& request, PeerConnection& to) {
              to.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n");
              to.write(R"({"jsonrpc":"2.0","id":)" + request.rpc_id);
              to.hang_up();
            }),
            Code::kUpstream);
  EXPECT_EQ(code_of([](const PeerRequest&, PeerConnection& to) {
              to.begin_events();
              to.write("data: {\"jsonrpc\":");
            }),
            Code::kUpstream);
  EXPECT_EQ(code_of([](const PeerRequest&, PeerConnection& to) { to.begin_events(); }), Code::kUpstream);
}

TEST_F(HttpTrouble, a_body_over_the_limit_is_too_large_however_it_comes) {
  const std::string big = '"' + std::string(2 << 20U, 'x') + '"';
  EXPECT_EQ(
      code_of([&](const PeerRequest& request, PeerConnection& to) { to.json(mcp::result_body(request.rpc_id, big)); }),
      Code::kTooLarge);
  EXPECT_EQ(code_of([&](const PeerRequest& request, PeerConnection& to) {
              to.begin_events();
              to.write("data: " + mcp::result_body(request.rpc_id, big) + "\n\n");
            }),
            Code::kTooLarge);
}

TEST_F(HttpTrouble, a_refused_connection_is_unavailable_and_tried_again_by_the_next_call) {
  std::string url;
  {
    const HttpPeer closed([](const PeerRequest&, PeerConnection&) {});
    url = closed.url();
  }
  const auto upstream = upstream_at(url);
  EXPECT_EQ(ask(*upstream, 1, "echo").code(), Code::kUnavailable);
  EXPECT_EQ(ask(*upstream, 2, "echo").code(), Code::kUnavailable);
  EXPECT_EQ(upstream->status().state, "failed");
  EXPECT_EQ(upstream->status().failures, 2U);
}

TEST_F(HttpTrouble, a_bad_handshake_fails_its_callers_and_the_next_one_tries_again) {
  using Handshake = std::function<void(PeerConnection&)>;
  const std::vector<Handshake> handshakes = {
      [](PeerConnection& to) { to.answer(200, "text/html", "<html>"); },
      [](PeerConnection& to) { to.answer(401, "application/json", "{}"); },
      [](PeerConnection& to) { to.json(mcp::result_body("0", R"({"protocolVersion":"2999-01-01"})")); },
      [](PeerConnection& to) { to.json(mcp::result_body("0", "{}")); },
      [](PeerConnection& to) { to.json(mcp::error_body("0", -32602, "no")); },
      [](PeerConnection& to) {
        to.answer(200, "application/json", mcp::result_body("0", R"({"protocolVersion":"2025-11-25"})"),
                  "mcp-session-id: a b\r\n");
      },
  };
  for (const auto& handshake : handshakes) {
    std::atomic<bool> good = false;
    HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
      if (good || request.rpc_method != "initialize") return false;
      handshake(to);
      return true;
    }));
    const auto upstream = upstream_of(peer);
    auto other = ask(*upstream, 1, "echo");
    EXPECT_EQ(ask(*upstream, 2, "echo").code(), Code::kUpstream);
    EXPECT_EQ(other.code(), Code::kUpstream);
    EXPECT_EQ(upstream->status().state, "failed");
    good = true;
    EXPECT_EQ(result_of(ask(*upstream, 3, "echo")), "{}");
    EXPECT_EQ(upstream->status().state, "ready");
  }
}

TEST_F(HttpTrouble, a_server_that_refuses_our_initialized_is_not_used) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "notifications/initialized") return false;
    to.answer(500, "text/plain", "no");
    return true;
  }));
  EXPECT_EQ(ask(*upstream_of(peer), 1, "echo").code(), Code::kUpstream);
}

TEST_F(HttpTrouble, a_server_that_forgets_every_session_is_asked_twice_and_not_more) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "echo") return false;
    to.answer(404, "text/plain", "Session not found");
    return true;
  }));
  const auto upstream = upstream_of(peer);
  EXPECT_EQ(ask(*upstream, 1, "echo").code(), Code::kUpstream);
  const auto requests = peer.requests();
  EXPECT_EQ(std::count_if(requests.begin(), requests.end(), [](const auto& one) { return one.rpc_method == "echo"; }),
            2);
}

TEST_F(HttpTrouble, a_call_that_hangs_ends_at_its_deadline_and_the_server_is_told) {
  HttpPeer peer(bad_at([](const PeerRequest&, PeerConnection& to) { EXPECT_TRUE(to.wait_gone()); }));
  const auto upstream = upstream_of(peer);
  EXPECT_EQ(result_of(ask(*upstream, 4, "echo")), "{}");
  EXPECT_EQ(ask(*upstream, 5, "bad", "{}", in(std::chrono::milliseconds(100))).code(), Code::kTimeout);
  EXPECT_TRUE(peer.wait_for(1, [](const PeerRequest& request) {
    return request.body ==
           R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5,"reason":"timed out"}})";
  }));
}

TEST_F(HttpTrouble, a_cancelled_call_ends_soon_and_the_server_is_told) {
  HttpPeer peer(bad_at([](const PeerRequest&, PeerConnection& to) {
    to.begin_events();
    to.write(": still here\n\n");
    EXPECT_TRUE(to.wait_gone());
  }));
  const auto upstream = upstream_of(peer);
  auto asked = ask(*upstream, 6, "bad");
  EXPECT_TRUE(peer.wait_for(1, [](const PeerRequest& request) { return request.rpc_method == "bad"; }));
  upstream->cancel(6);
  upstream->cancel(6);
  upstream->cancel(99);
  EXPECT_EQ(asked.code(), Code::kCancelled);
  EXPECT_TRUE(
      peer.wait_for(1, [](const PeerRequest& request) { return request.rpc_method == "notifications/cancelled"; }));
}

TEST_F(HttpTrouble, what_waits_for_a_hanging_handshake_has_its_deadline_and_can_be_cancelled) {
  HttpPeer peer([](const PeerRequest&, PeerConnection& to) { (void)to.wait_gone(); });
  auto upstream = upstream_of(peer);
  auto cancelled = ask(*upstream, 1, "echo");
  EXPECT_TRUE(peer.wait_for(1, [](const PeerRequest& request) { return request.rpc_method == "initialize"; }));
  EXPECT_EQ(ask(*upstream, 2, "echo", "{}", in(std::chrono::milliseconds(50))).code(), Code::kTimeout);
  upstream->cancel(1);
  EXPECT_EQ(cancelled.code(), Code::kCancelled);
  auto pending = ask(*upstream, 3, "echo");
  upstream.reset();
  EXPECT_EQ(pending.code(), Code::kCancelled);
  EXPECT_EQ(peer.requests().size(), 1U);  // nobody was told of what was never sent
}

TEST_F(HttpTrouble, an_upstream_that_closes_waits_no_longer_than_half_a_second_for_a_server_that_hangs) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.method != "DELETE" && request.rpc_method != "bad") return false;
    (void)to.wait_gone();
    return true;
  }));
  auto upstream = upstream_of(peer);
  std::vector<Asked> hanging;
  for (std::uint64_t id = 1; id <= 20; ++id) hanging.push_back(ask(*upstream, id, "bad"));
  EXPECT_TRUE(peer.wait_for(8, [](const PeerRequest& request) { return request.rpc_method == "bad"; }));
  const auto begin = system_clock().now();
  upstream.reset();
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(5));
  for (auto& one : hanging) EXPECT_EQ(one.code(), Code::kCancelled);
  EXPECT_TRUE(peer.wait_for(1, [](const PeerRequest& request) { return request.method == "DELETE"; }));
}

TEST_F(HttpTrouble, calls_given_up_while_they_wait_for_a_connection_leave_the_pool_usable) {
  HttpPeer peer(bad_at([](const PeerRequest&, PeerConnection& to) { (void)to.wait_gone(); }));
  const auto upstream = upstream_of(peer);
  std::uint64_t id = 0;
  for (const std::size_t held : {8U, 16U}) {
    std::vector<Asked> hanging;
    const auto first = id + 1;
    for (int i = 0; i < 60; ++i) hanging.push_back(ask(*upstream, ++id, "bad"));
    EXPECT_TRUE(peer.wait_for(held, [](const PeerRequest& request) { return request.rpc_method == "bad"; }));
    // The last first: they are given up while the pool is still full.
    for (auto last = id; last >= first; --last) upstream->cancel(last);
    for (auto& one : hanging) EXPECT_EQ(one.code(), Code::kCancelled);
  }
  EXPECT_EQ(result_of(ask(*upstream, ++id, "echo")), "{}");
}

TEST_F(HttpTrouble, a_server_that_asks_without_end_gets_a_bounded_number_of_answers_at_once) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method == "bad") {
      to.begin_events();
      std::string questions;
      for (int i = 0; i < 1000; ++i) questions += "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n";
      to.write(questions + "data: " + mcp::result_body(request.rpc_id, "{}") + "\n\n");
      return true;
    }
    return false;
  }));
  auto upstream = upstream_of(peer);
  EXPECT_EQ(result_of(ask(*upstream, 1, "bad")), "{}");
  upstream.reset();
  EXPECT_LT(peer.requests().size(), 600U);
}

}  // namespace
}  // namespace ringside::worker
