// A server that ends, or tires of an idle client, on Unix sockets: no request is lost between the two of them. What the
// client could send is answered; what it could not, it knows of.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/unix_socket.h"
#include "tests/http/raw_socket.h"
#include "tests/http/serving.h"

namespace ringside::test {
namespace {

/// A server on one end of a Unix socket, and the test on the other.
class OverUnix {
 public:
  explicit OverUnix(http::Handler handler = echo, http::ServerOptions options = {})
      : server_(options, std::move(handler)) {
    auto pair = socket_pair(SocketKind::kStream, true).value();
    server_.adopt(std::move(pair.first));
    client_.emplace(std::move(pair.second));
  }
  RawSocket& client() { return *client_; }
  /// Drains while its thread stands still, and so cannot tell what comes first: the drain, or what `meanwhile` sends.
  void drain_while(const std::function<void()>& meanwhile) {
    const auto stands = std::make_shared<std::promise<void>>();
    std::promise<void> goes_on;
    server_.run([stands, until = goes_on.get_future().share()] {
      stands->set_value();
      until.wait();
    });
    stands->get_future().wait();
    server_.drain([this] { drained_.set_value(); });
    meanwhile();
    goes_on.set_value();
  }
  [[nodiscard]] bool drained() {
    return drained_.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  }

 private:
  std::promise<void> drained_;
  http::Server server_;
  std::optional<RawSocket> client_;
};

TEST(ServerDrain, a_request_that_crosses_with_the_drain_is_answered) {
  OverUnix server;
  server.client().send(post_of("one"));
  EXPECT_TRUE(server.client().read_message().ends_with("\r\none"));
  server.drain_while([&] { EXPECT_TRUE(server.client().send(post_of("two"))); });
  const std::string answer = server.client().read_to_end();
  EXPECT_NE(answer.find("connection: close\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\ntwo")) << answer;
  EXPECT_TRUE(server.drained());
}

TEST(ServerDrain, the_first_request_of_a_connection_is_answered_too) {
  OverUnix server;
  server.drain_while([&] { EXPECT_TRUE(server.client().send(post_of("first"))); });
  EXPECT_TRUE(server.client().read_to_end().ends_with("\r\nfirst"));
  EXPECT_TRUE(server.drained());
}

TEST(ServerDrain, a_send_that_comes_too_late_fails) {
  OverUnix server;
  server.drain_while([] {});
  EXPECT_TRUE(server.drained());
  EXPECT_FALSE(server.client().send(post_of("late")));
}

TEST(ServerDrain, half_a_request_holds_nobody_up_once_the_rest_cannot_come) {
  OverUnix server;
  server.drain_while([&] { EXPECT_TRUE(server.client().send("POST /mcp HTT")); });
  // Either it was read before the drain, and the rest is waited for; or the client learns that there is no rest.
  static_cast<void>(server.client().send("P/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"));
  server.client().close_sending();
  const std::string answer = server.client().read_to_end();
  EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 200")) << answer;
  EXPECT_TRUE(server.drained());
}

TEST(ServerDrain, an_answer_that_promised_to_go_on_is_followed_by_one_more) {
  Desk desk;
  OverUnix server(desk.handler());
  server.client().send(kGet);
  auto streamed = desk.next();
  streamed->begin(200, {});
  EXPECT_EQ(server.client().read_until("\r\n\r\n").find("connection: close"), std::string::npos);
  server.drain_while([] {});
  EXPECT_TRUE(server.client().send(kGet));  // pipelined: it has the head's word
  streamed->end();
  EXPECT_EQ(server.client().read_until("0\r\n\r\n"), "0\r\n\r\n");
  const auto next = desk.next();
  ASSERT_NE(next, nullptr);
  next->respond({200, {}, "ok"});
  EXPECT_TRUE(server.client().read_to_end().ends_with("connection: close\r\n\r\nok"));
  EXPECT_TRUE(server.drained());
}

TEST(ServerDrain, a_handler_that_takes_its_time_still_has_its_client) {
  Desk desk;
  OverUnix server(desk.handler());
  server.drain_while([&] { EXPECT_TRUE(server.client().send(kGet)); });
  const auto responder = desk.next();
  ASSERT_NE(responder, nullptr);
  std::atomic<bool> gone{false};
  responder->on_gone([&] { gone = true; });
  responder->respond({200, {}, "late, but whole"});
  EXPECT_TRUE(server.client().read_to_end().ends_with("late, but whole"));
  EXPECT_FALSE(gone);
  EXPECT_TRUE(server.drained());
}

TEST(ServerDrain, an_idle_client_is_left_in_the_same_way) {
  http::ServerOptions options;
  options.idle_timeout = std::chrono::milliseconds(20);
  OverUnix server(echo, options);
  EXPECT_EQ(server.client().read_to_end(), "");
  EXPECT_FALSE(server.client().send(post_of("late")));
}

}  // namespace
}  // namespace ringside::test
