// What a Streamable HTTP upstream promises of streams: what the server says of its own accord is heard, and a call
// whose stream breaks off is taken up behind its last event, never run again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "tests/worker/upstream/asking.h"
#include "tests/worker/upstream/ear_for_all.h"
#include "tests/worker/upstream/http_peer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

using testing::ElementsAre;

constexpr std::string_view kUpdated =
    R"({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:b"}})";

std::string event(std::string_view data, const std::string& id = {}) {
  return (id.empty() ? "" : "id: " + id + "\n") + "data: " + std::string(data) + "\n\n";
}

using More = std::function<bool(const PeerRequest&, PeerConnection&)>;

class HttpListen : public testing::Test {
 protected:
  std::unique_ptr<Upstream> upstream_of(const HttpPeer& peer) {
    HttpUpstreamOptions options;
    options.name = "peer";
    options.url = peer.url();
    return make_http_upstream(options, roads_);
  }
  static std::vector<PeerRequest> of(const HttpPeer& peer, const std::string& method) {
    auto all = peer.requests();
    std::erase_if(all, [&](const auto& one) { return one.method != method && one.rpc_method != method; });
    return all;
  }
  static std::string last_event_of(const PeerRequest& request) {
    const auto header = request.headers.find("last-event-id");
    return header == request.headers.end() ? "" : header->second;
  }

  HttpRoads roads_{http::ClientOptions{}};
};

bool is_get(const PeerRequest& request) { return request.method == "GET"; }

TEST_F(HttpListen, what_the_server_says_of_its_own_accord_is_heard_once_somebody_has_asked_it_something) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (!is_get(request)) return false;
    to.begin_events();
    to.write(event(kUpdated) + event(R"({"jsonrpc":"2.0","id":"u","method":"roots/list"})"));
    (void)to.wait_gone();
    return true;
  }));
  auto upstream = upstream_of(peer);
  const auto ear = listen_to(*upstream);
  upstream->listen(persona("a"));
  EXPECT_EQ(result_of(ask_as(*upstream, persona("b"), 1, "echo")), "{}");
  EXPECT_TRUE(of(peer, "GET").empty()) << "nobody listens in b's conversation, and a's is not open";
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 2, "echo")), "{}");
  EXPECT_TRUE(ear->wait_for("a notice notifications/resources/updated " + std::string(kUpdated)));
  EXPECT_TRUE(ear->wait_for("a question \"u\" roots/list"));
  const auto stream = of(peer, "GET").at(0);
  EXPECT_EQ(stream.headers.at("accept"), "text/event-stream");
  EXPECT_EQ(stream.headers.at("mcp-session-id"), "session-1");
  upstream->reply(persona("a"), mcp::result_body("\"u\"", R"({"roots":[]})"));
  EXPECT_TRUE(peer.wait_for(
      1, [](const PeerRequest& request) { return request.body == mcp::result_body("\"u\"", R"({"roots":[]})"); }));
  upstream.reset();  // and ends the stream
}

TEST_F(HttpListen, a_stream_that_ends_is_opened_again_behind_its_last_event) {
  std::atomic<int> streams = 0;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    if (!is_get(request)) return false;
    const auto number = ++streams;
    to.begin_events();
    to.write("retry: 1\n\n" + event(kUpdated, "e" + std::to_string(number)));
    if (number == 3) (void)to.wait_gone();
    return true;
  }));
  auto upstream = upstream_of(peer);
  const auto ear = listen_to(*upstream);
  upstream->listen(nullptr);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  EXPECT_TRUE(ear->wait_for("- notice notifications/resources/updated " + std::string(kUpdated), 3));
  std::vector<std::string> behind;
  for (const auto& request : of(peer, "GET")) behind.push_back(last_event_of(request));
  EXPECT_THAT(behind, ElementsAre("", "e1", "e2"));
  upstream.reset();
}

TEST_F(HttpListen, a_server_without_such_a_stream_is_asked_for_it_once) {
  HttpPeer peer(good_server([](const PeerRequest& request, PeerConnection& to) {
    if (!is_get(request)) return false;
    to.answer(405, "text/plain", "", "Allow: POST\r\n");
    return true;
  }));
  const auto upstream = upstream_of(peer);
  upstream->listen(persona("a"));
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  EXPECT_TRUE(peer.wait_for(1, is_get));
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 2, "echo")), "{}");
  upstream->listen(persona("a"));
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 3, "echo")), "{}");
  EXPECT_EQ(of(peer, "GET").size(), 1U);
}

TEST_F(HttpListen, a_session_that_is_lost_while_somebody_listens_is_opened_again) {
  std::atomic<int> sessions = 0;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method == "initialize") {
      to.answer(200, "application/json", mcp::result_body("0", R"({"protocolVersion":"2025-11-25"})"),
                "mcp-session-id: s" + std::to_string(++sessions) + "\r\n");
      return true;
    }
    if (!is_get(request)) return false;
    const bool old = request.headers.at("mcp-session-id") == "s1";
    if (old && !last_event_of(request).empty()) {
      to.answer(404, "text/plain", "Session not found");
      return true;
    }
    to.begin_events();
    to.write("retry: 1\n" + event(kUpdated, "e"));
    if (!old) (void)to.wait_gone();
    return true;
  }));
  auto upstream = upstream_of(peer);
  const auto ear = listen_to(*upstream);
  upstream->listen(persona("a"));
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  EXPECT_TRUE(ear->wait_for("a reopened", 2)) << "levels and subscriptions are to be said again";
  EXPECT_TRUE(ear->wait_for("a notice notifications/resources/updated " + std::string(kUpdated), 2));
  EXPECT_EQ(sessions, 2);
  upstream.reset();
}

/// "poll" begins a stream, of which `rest` is what comes at the GET.
HttpPeer::Script polling(const std::string& first, More rest) {
  return good_server([first, rest = std::move(rest)](const PeerRequest& request, PeerConnection& to) {
    if (is_get(request)) return rest(request, to);
    if (request.rpc_method != "poll") return false;
    to.begin_events();
    to.write(first);
    return true;
  });
}

TEST_F(HttpListen, a_call_whose_stream_breaks_off_is_taken_up_behind_its_last_event_and_runs_once) {
  std::atomic<int> times = 0;
  HttpPeer peer(
      polling("id: p0\nretry: 1\ndata:\n\n" + event(progress_of(7), "p1"), [&](const PeerRequest&, PeerConnection& to) {
        if (++times == 2) to.answer(503, "text/plain", "wait");
        if (times == 2) return true;
        to.begin_events();
        if (times == 1) to.write("retry: 2\n\n");  // nothing yet
        if (times == 3) to.write(event(progress_of(7, 2)) + event(mcp::result_body("7", "[7]"), "p3"));
        return true;
      }));
  const auto upstream = upstream_of(peer);
  Ear ear;
  EXPECT_EQ(result_of(ask_hearing(*upstream, 7, "poll", "{}", ear.hears())), "[7]");
  EXPECT_THAT(ear.heard(), ElementsAre(progress_of(7), progress_of(7, 2)));
  EXPECT_EQ(of(peer, "poll").size(), 1U);
  for (const auto& request : of(peer, "GET")) EXPECT_EQ(last_event_of(request), "p1");
}

TEST_F(HttpListen, a_call_whose_stream_is_not_given_again_has_no_answer_and_is_not_run_again) {
  for (const int status : {405, 404, 400}) {
    HttpPeer peer(polling("id: p0\nretry: 1\ndata:\n\n", [&](const PeerRequest&, PeerConnection& to) {
      to.answer(status, "text/plain", "");
      return true;
    }));
    const auto upstream = upstream_of(peer);
    EXPECT_EQ(ask(*upstream, 7, "poll").code(), Code::kUpstream) << status;
    EXPECT_EQ(of(peer, "poll").size(), 1U) << status;
  }
}

TEST_F(HttpListen, a_call_that_waits_for_its_stream_can_be_cancelled_and_the_server_is_told) {
  HttpPeer peer(polling("id: p0\nretry: 60000\ndata:\n\n" + event(progress_of(7)),
                        [](const PeerRequest&, PeerConnection&) { return false; }));
  const auto upstream = upstream_of(peer);
  Ear ear;
  auto asked = ask_hearing(*upstream, 7, "poll", "{}", ear.hears());
  ASSERT_TRUE(ear.wait_for(1));
  upstream->cancel(7);
  EXPECT_EQ(asked.code(), Code::kCancelled);
  EXPECT_TRUE(
      peer.wait_for(1, [](const PeerRequest& request) { return request.rpc_method == "notifications/cancelled"; }));
}

TEST_F(HttpListen, only_what_may_run_twice_is_sent_again_when_its_answer_breaks_off) {
  std::atomic<int> times = 0;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "read") return false;
    if (++times % 2 == 0) return false;
    to.begin_events();
    to.write(": here it ends\n\n");
    return true;
  }));
  const auto upstream = upstream_of(peer);
  EXPECT_EQ(result_of(ask(*upstream, {.message = request_text(1, "read", "[1]"), .id = 1, .repeatable = true})), "[1]");
  EXPECT_EQ(times, 2);
  EXPECT_EQ(ask(*upstream, 2, "read").code(), Code::kUpstream);
  EXPECT_EQ(times, 3);
}

TEST_F(HttpListen, a_session_that_is_refused_with_400_is_opened_anew_once) {
  std::atomic<int> session = 1;
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& to) {
    const auto current = "s" + std::to_string(session);
    if (request.rpc_method == "initialize") {
      to.answer(200, "application/json", mcp::result_body("0", R"({"protocolVersion":"2025-11-25"})"),
                "mcp-session-id: " + current + "\r\n");
      return true;
    }
    if (request.rpc_method != "echo" || request.headers.at("mcp-session-id") == current) return false;
    to.answer(400, "application/json",
              mcp::error_body(request.rpc_id, -32000, "Bad Request: No valid session ID provided"));
    return true;
  }));
  const auto upstream = upstream_of(peer);
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  session = 2;
  EXPECT_EQ(result_of(ask(*upstream, 2, "echo", "[2]")), "[2]");
  EXPECT_EQ(of(peer, "initialize").size(), 2U);
}

}  // namespace
}  // namespace ringside::worker
