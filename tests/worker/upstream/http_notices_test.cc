// What a Streamable HTTP upstream says before its answer, and callers who hear it slowly.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <string>

#include "tests/worker/upstream/asking.h"
#include "tests/worker/upstream/http_peer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kLog = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";

std::string event(std::string_view data) { return "data: " + std::string(data) + "\n\n"; }
std::string answer_to(std::uint64_t id) { return event(mcp::result_body(std::to_string(id), "{}")); }
std::string large(int number) {
  return R"({"jsonrpc":"2.0","method":"x","params":{"n":)" + std::to_string(number) + R"(,"d":")" +
         std::string(100'000, 'd') + R"("}})";
}

class HttpNotices : public testing::Test {
 protected:
  std::unique_ptr<Upstream> upstream_of(const HttpPeer& peer) {
    HttpUpstreamOptions options;
    options.name = "peer";
    options.url = peer.url();
    options.client_version = "1.2.3";
    return make_http_upstream(std::move(options), roads_);
  }
  /// A server that answers "tell" with `says`, in one write.
  static HttpPeer::Script telling(const std::string& says) {
    return good_server([says](const PeerRequest& request, PeerConnection& connection) {
      if (request.rpc_method != "tell") return false;
      connection.begin_events();
      connection.write(says);
      connection.hang_up();
      return true;
    });
  }

  HttpRoads roads_{http::ClientOptions{}};
};

TEST_F(HttpNotices, go_to_the_caller_in_their_order_and_as_they_came) {
  const std::string odd =
      R"({ "method":"notifications\/progress", "jsonrpc":"2.0","params":{"progressToken":7,"é":1}})";
  HttpPeer peer(telling(event(kLog) + event(progress_of(7)) + event(odd) + answer_to(7) + event(progress_of(7, 2))));
  const auto upstream = upstream_of(peer);
  Ear ear;
  EXPECT_EQ(result_of(ask_hearing(*upstream, 7, "tell", "{}", ear.hears())), "{}");
  EXPECT_THAT(ear.heard(), ElementsAre(std::string(kLog), progress_of(7), odd)) << "and none behind the answer";
}

TEST_F(HttpNotices, that_are_the_sessions_are_not_the_callers) {
  HttpPeer peer(telling(event(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})") +
                        event(R"({"jsonrpc":"2.0","id":"q","method":"ping"})") + event("not json") +
                        event(mcp::result_body("12345", "{}")) + answer_to(7)));
  const auto upstream = upstream_of(peer);
  std::atomic<int> changes{0};
  upstream->on_tools_changed([&] { ++changes; });
  Ear ear;
  EXPECT_EQ(result_of(ask_hearing(*upstream, 7, "tell", "{}", ear.hears())), "{}");
  EXPECT_THAT(ear.heard(), IsEmpty());
  EXPECT_EQ(changes, 1);
}

TEST_F(HttpNotices, are_dropped_where_nobody_hears_them) {
  HttpPeer peer(telling(event(kLog) + event(progress_of(7)) + answer_to(7)));
  const auto upstream = upstream_of(peer);
  EXPECT_EQ(result_of(ask(*upstream, 7, "tell")), "{}");
}

TEST_F(HttpNotices, of_two_requests_go_each_to_its_own) {
  std::latch both(2);
  HttpPeer peer(good_server([&](const PeerRequest& request, PeerConnection& connection) {
    if (request.rpc_method != "tell") return false;
    connection.begin_events();
    both.arrive_and_wait();
    const std::uint64_t id = std::stoull(request.rpc_id);
    connection.write(event(progress_of(id)) + event(progress_of(id, 2)) + answer_to(id));
    connection.hang_up();
    return true;
  }));
  const auto upstream = upstream_of(peer);
  Ear first;
  Ear second;
  auto one = ask_hearing(*upstream, 7, "tell", "{}", first.hears());
  auto other = ask_hearing(*upstream, 8, "tell", "{}", second.hears());
  EXPECT_EQ(result_of(std::move(one)), "{}");
  EXPECT_EQ(result_of(std::move(other)), "{}");
  EXPECT_THAT(first.heard(), ElementsAre(progress_of(7), progress_of(7, 2)));
  EXPECT_THAT(second.heard(), ElementsAre(progress_of(8), progress_of(8, 2)));
}

/// A server whose "tell" is fifty large notices and an answer.
HttpPeer::Script verbose() {
  return good_server([](const PeerRequest& request, PeerConnection& connection) {
    if (request.rpc_method != "tell") return false;
    connection.begin_events();
    for (int i = 0; i < 50; ++i) connection.write(event(large(i)));
    connection.write(answer_to(std::stoull(request.rpc_id)));
    connection.hang_up();
    return true;
  });
}

TEST_F(HttpNotices, wait_for_a_slow_caller_and_for_nobody_else) {
  HttpPeer peer(verbose());
  const auto upstream = upstream_of(peer);
  Ear ear;
  ear.slow(true);
  auto asked = ask_hearing(*upstream, 7, "tell", "{}", ear.hears());
  ASSERT_TRUE(ear.wait_for(1));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(result_of(ask(*upstream, 100U + static_cast<unsigned>(i), "echo", "[1]")), "[1]");
  }
  EXPECT_LT(ear.heard().size(), 50U);
  EXPECT_TRUE(asked.pending());
  ear.slow(false);
  upstream->resume(7);
  EXPECT_EQ(result_of(std::move(asked)), "{}");
  const auto heard = ear.heard();
  ASSERT_EQ(heard.size(), 50U);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(heard[static_cast<std::size_t>(i)] == large(i)) << i;
}

TEST_F(HttpNotices, that_wait_end_with_a_cancel) {
  HttpPeer peer(verbose());
  const auto upstream = upstream_of(peer);
  Ear ear;
  ear.slow(true);
  auto asked = ask_hearing(*upstream, 7, "tell", "{}", ear.hears());
  ASSERT_TRUE(ear.wait_for(1));
  upstream->cancel(7);
  EXPECT_EQ(asked.code(), Code::kCancelled);
  upstream->resume(7);  // over: nothing happens
  upstream->resume(12345);
  EXPECT_TRUE(
      peer.wait_for(1, [](const PeerRequest& request) { return request.rpc_method == "notifications/cancelled"; }));
  EXPECT_LT(ear.heard().size(), 50U);
}

TEST_F(HttpNotices, that_wait_end_with_the_deadline) {
  HttpPeer peer(verbose());
  const auto upstream = upstream_of(peer);
  Ear ear;
  ear.slow(true);
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  upstream->send({.message = request_text(7, "tell", "{}"),
                  .id = 7,
                  .deadline = in(std::chrono::milliseconds(300)),
                  .on_message = ear.hears()},
                 [promise](Result<std::string> answer) { promise->set_value(std::move(answer)); });
  EXPECT_EQ(Asked(promise->get_future()).code(), Code::kTimeout);
}

TEST_F(HttpNotices, that_wait_end_with_the_upstream) {
  HttpPeer peer(verbose());
  auto upstream = upstream_of(peer);
  Ear ear;
  ear.slow(true);
  auto asked = ask_hearing(*upstream, 7, "tell", "{}", ear.hears());
  ASSERT_TRUE(ear.wait_for(1));
  upstream.reset();
  EXPECT_EQ(asked.code(), Code::kCancelled);
}

TEST_F(HttpNotices, an_answer_in_the_same_bytes_as_a_notice_too_much_is_not_held_up) {
  HttpPeer peer(telling(event(kLog) + answer_to(7)));
  const auto upstream = upstream_of(peer);
  Ear ear;
  ear.slow(true);
  EXPECT_EQ(result_of(ask_hearing(*upstream, 7, "tell", "{}", ear.hears())), "{}");
}

TEST_F(HttpNotices, a_caller_may_cancel_from_inside_one) {
  HttpPeer peer(verbose());
  const auto upstream = upstream_of(peer);
  auto asked = ask_hearing(*upstream, 7, "tell", "{}", [&upstream](const std::string&) {
    upstream->cancel(7);
    return false;
  });
  EXPECT_EQ(asked.code(), Code::kCancelled);
}

}  // namespace
}  // namespace ringside::worker
