// What a Streamable HTTP upstream promises to the clients of whom it holds a conversation each: their own words at the
// start, questions that reach them, answers that nothing holds up, and an end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/worker/upstream/asking.h"
#include "tests/worker/upstream/ear_for_all.h"
#include "tests/worker/upstream/http_peer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kQuestion = R"({"jsonrpc":"2.0","id":"u","method":"elicitation/create","params":{}})";

std::string event(std::string_view data) { return "data: " + std::string(data) + "\n\n"; }

/// A server that gives each client a session: s1, s2, …
class Sessions {
 public:
  explicit Sessions(std::function<bool(const PeerRequest&, PeerConnection&)> more = nullptr)
      : peer(good_server([this, more = std::move(more)](const PeerRequest& request, PeerConnection& to) {
          if (more && more(request, to)) return true;
          if (request.rpc_method != "initialize") return false;
          to.answer(200, "application/json", mcp::result_body("0", R"({"protocolVersion":"2025-06-18","x":1})"),
                    "mcp-session-id: s" + std::to_string(++count) + "\r\n");
          return true;
        })) {}

  [[nodiscard]] std::vector<PeerRequest> of(const std::string& method) const {
    std::vector<PeerRequest> found;
    for (const auto& request : peer.requests()) {
      if (request.rpc_method == method || request.method == method) found.push_back(request);
    }
    return found;
  }

  std::atomic<int> count{0};
  HttpPeer peer;
};

class HttpPersona : public testing::Test {
 protected:
  HttpUpstreamOptions options_of(const HttpPeer& peer) {
    HttpUpstreamOptions options;
    options.name = "peer";
    options.url = peer.url();
    options.client_version = "1.2.3";
    return options;
  }
  std::unique_ptr<Upstream> upstream_of(const HttpPeer& peer) { return make_http_upstream(options_of(peer), roads_); }

  HttpRoads roads_{http::ClientOptions{}};
};

TEST_F(HttpPersona, each_client_has_a_session_of_its_own_opened_in_its_own_words) {
  Sessions server;
  const auto upstream = upstream_of(server.peer);
  const auto ear = listen_to(*upstream);
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo", "[1]")), "[1]");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("b", R"({"roots":{}})"), 2, "echo", "[2]")), "[2]");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 3, "echo", "[3]")), "[3]");
  const auto opened = server.of("initialize");
  ASSERT_EQ(opened.size(), 2U);
  EXPECT_EQ(mcp::member(opened[0].body, "params"),
            R"({"protocolVersion":"2025-06-18","capabilities":{"elicitation":{}},)"
            R"("clientInfo":{"name":"tester","version":"1"}})");
  EXPECT_EQ(mcp::member(*mcp::member(opened[1].body, "params"), "capabilities"), R"({"roots":{}})");
  std::vector<std::string> sessions;
  for (const auto& request : server.of("echo")) sessions.push_back(request.headers.at("mcp-session-id"));
  EXPECT_THAT(sessions, ElementsAre("s1", "s2", "s1"));
  EXPECT_TRUE(ear->wait_for("a reopened"));
  EXPECT_TRUE(ear->wait_for("b reopened")) << "its levels and subscriptions are to be said";
}

TEST_F(HttpPersona, the_shared_conversation_can_be_asked_anything_and_introduces_the_server) {
  Sessions server;
  const auto upstream = upstream_of(server.peer);
  EXPECT_EQ(upstream->introduction(), nullptr);
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  EXPECT_EQ(upstream->introduction(), nullptr) << "a client's own conversation speaks for that client";
  EXPECT_EQ(result_of(ask(*upstream, 2, "echo")), "{}");
  ASSERT_NE(upstream->introduction(), nullptr);
  EXPECT_EQ(*upstream->introduction(), R"({"protocolVersion":"2025-06-18","x":1})");
  const std::string introduced = server.of("initialize")[1].body;
  const auto params = mcp::member(introduced, "params");
  for (const char* capability : {"roots", "sampling", "elicitation"}) {
    EXPECT_TRUE(mcp::member(*mcp::member(*params, "capabilities"), capability)) << capability;
  }
}

TEST_F(HttpPersona, the_end_of_a_session_is_said_to_the_server_and_to_nobody_elses) {
  Sessions server;
  const auto upstream = upstream_of(server.peer);
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("b"), 2, "echo")), "{}");
  upstream->end("a");
  upstream->end("nobody");
  EXPECT_TRUE(server.peer.wait_for(1, [](const PeerRequest& request) { return request.method == "DELETE"; }));
  EXPECT_EQ(server.of("DELETE")[0].headers.at("mcp-session-id"), "s1");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("b"), 3, "echo")), "{}");
  EXPECT_EQ(server.of("DELETE").size(), 1U);
}

TEST_F(HttpPersona, clients_of_a_shared_server_have_one_session) {
  Sessions server;
  auto options = options_of(server.peer);
  options.shared = true;
  const auto upstream = make_http_upstream(options, roads_);
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("b"), 2, "echo")), "{}");
  EXPECT_EQ(server.of("initialize").size(), 1U);
}

TEST_F(HttpPersona, a_client_too_many_takes_the_place_of_one_that_is_not_needed_or_is_refused) {
  std::atomic<bool> hangs = true;
  Sessions server([&](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "hang" || !hangs) return false;
    (void)to.wait_gone();
    return true;
  });
  auto options = options_of(server.peer);
  options.max_conversations = 2;
  const auto upstream = make_http_upstream(options, roads_);
  auto hanging = ask_as(*upstream, persona("a"), 1, "hang");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("b"), 2, "echo")), "{}");
  EXPECT_EQ(result_of(ask_as(*upstream, persona("c"), 3, "echo")), "{}");
  EXPECT_TRUE(server.peer.wait_for(1, [](const PeerRequest& request) { return request.method == "DELETE"; }));
  auto other = ask_as(*upstream, persona("c"), 4, "hang");
  EXPECT_EQ(ask_as(*upstream, persona("d"), 5, "echo").code(), Code::kFull);
  upstream->cancel(1);
  upstream->cancel(4);
  EXPECT_EQ(hanging.code(), Code::kCancelled);
  EXPECT_EQ(other.code(), Code::kCancelled);
}

TEST_F(HttpPersona, a_conversation_that_nobody_uses_ends) {
  Sessions server;
  auto options = options_of(server.peer);
  options.idle = std::chrono::milliseconds(50);
  const auto upstream = make_http_upstream(options, roads_);
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  EXPECT_TRUE(server.peer.wait_for(1, [](const PeerRequest& request) { return request.method == "DELETE"; }));
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 2, "echo")), "{}");
}

/// A server whose "ask" asks its client before it answers with what it was told. Each call waits for its own answer.
class Asking : public Sessions {
 public:
  Asking()
      : Sessions([this](const PeerRequest& request, PeerConnection& to) {
          if (request.rpc_method.empty() && !request.rpc_id.empty()) {
            const std::lock_guard lock(mutex_);
            answered_.insert(request.rpc_id);
            told_.notify_all();
            return false;
          }
          if (request.rpc_method != "ask") return false;
          to.begin_events();
          to.write(event(R"({"jsonrpc":"2.0","id":)" + request.rpc_id + R"(,"method":"elicitation/create"})"));
          std::unique_lock lock(mutex_);
          told_.wait_for(lock, std::chrono::seconds(20), [&] { return answered_.contains(request.rpc_id); });
          to.write(event(mcp::result_body(request.rpc_id, answered_.contains(request.rpc_id) ? "\"told\"" : "\"no\"")));
          to.hang_up();
          return true;
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  std::set<std::string> answered_;
};

TEST_F(HttpPersona, calls_that_wait_for_their_clients_do_not_hold_up_the_answers) {
  Asking server;
  const auto upstream = upstream_of(server.peer);
  std::vector<Asked> asked;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> questions;
  // As many as the pool has connections.
  for (std::uint64_t id = 1; id <= 8; ++id) {
    asked.push_back(ask(*upstream, {.message = request_text(id, "ask", "{}"),
                                    .id = id,
                                    .persona = persona("a"),
                                    .on_question = [&](const UpstreamQuestion& question) {
                                      EXPECT_EQ(question.method, "elicitation/create");
                                      const std::lock_guard lock(mutex);
                                      questions.push_back(question.raw_id);
                                      changed.notify_all();
                                      return true;
                                    }}));
  }
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return questions.size() == 8; }));
  }
  for (const auto& raw_id : questions)
    upstream->reply(persona("a"), mcp::result_body(raw_id, R"({"action":"accept"})"));
  for (auto& one : asked) EXPECT_EQ(result_of(std::move(one)), "\"told\"");
}

TEST_F(HttpPersona, a_question_that_nobody_takes_is_refused) {
  Sessions server([](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "ask") return false;
    to.begin_events();
    to.write(event(kQuestion) + event(R"({"jsonrpc":"2.0","id":5,"method":"ping"})") +
             event(mcp::result_body(request.rpc_id, "{}")));
    return true;
  });
  const auto upstream = upstream_of(server.peer);
  EXPECT_EQ(result_of(ask(*upstream, {.message = request_text(1, "ask", "{}"),
                                      .id = 1,
                                      .persona = persona("a"),
                                      .on_question = [](const UpstreamQuestion&) { return false; }})),
            "{}");
  EXPECT_TRUE(server.peer.wait_for(1, [](const PeerRequest& request) {
    return request.body == R"({"jsonrpc":"2.0","id":"u","error":{"code":-32601,"message":"Method not found"}})";
  }));
  EXPECT_TRUE(server.peer.wait_for(
      1, [](const PeerRequest& request) { return request.body == R"({"jsonrpc":"2.0","id":5,"result":{}})"; }));
}

TEST_F(HttpPersona, what_no_call_carries_is_heard_whole) {
  constexpr std::string_view kCancelled =
      R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"u"}})";
  constexpr std::string_view kLog = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";
  Sessions server([&](const PeerRequest& request, PeerConnection& to) {
    if (request.rpc_method != "tell") return false;
    to.begin_events();
    to.write(event(kQuestion) + event(kCancelled) + event(kLog) +
             event(R"({"jsonrpc":"2.0","method":"notifications/prompts/list_changed"})") +
             event(R"({"jsonrpc":"2.0","method":"notifications/resources/list_changed"})") +
             event(mcp::result_body(request.rpc_id, "{}")));
    return true;
  });
  const auto upstream = upstream_of(server.peer);
  const auto ear = listen_to(*upstream);
  Ear hears;
  EXPECT_EQ(
      result_of(ask(
          *upstream,
          {.message = request_text(1, "tell", "{}"), .id = 1, .on_message = hears.hears(), .persona = persona("a")})),
      "{}");
  EXPECT_THAT(hears.heard(), ElementsAre(std::string(kLog)));
  EXPECT_THAT(ear->lines(), ElementsAre("a reopened", "a question \"u\" elicitation/create",
                                        "a notice notifications/cancelled " + std::string(kCancelled), "a list prompts",
                                        "a list resources"));
}

TEST_F(HttpPersona, a_clients_notification_goes_out_in_its_session) {
  Sessions server;
  const auto upstream = upstream_of(server.peer);
  const std::string roots = R"({"jsonrpc":"2.0","method":"notifications/roots/list_changed"})";
  upstream->notify(persona("a"), roots);
  EXPECT_THAT(server.peer.requests(), IsEmpty()) << "a conversation that was never opened hears of nothing";
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "echo")), "{}");
  upstream->notify(persona("a"), roots);
  EXPECT_TRUE(server.peer.wait_for(1, [&](const PeerRequest& request) {
    return request.body == roots && request.headers.at("mcp-session-id") == "s1";
  }));
}

}  // namespace
}  // namespace ringside::worker
