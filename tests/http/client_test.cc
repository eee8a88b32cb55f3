// The client against servers that keep the rules: what it sends, how it pools, cancels and gives up.
#include "http/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <latch>
#include <set>
#include <vector>

#include "http/server.h"
#include "tests/http/exchanges.h"
#include "tests/http/raw_socket.h"

namespace ringside::test {
namespace {

using http::Client;
using http::ClientOptions;
using http::ClientRequest;

const std::string kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers every request of a connection, until the client closes it.
void answer_all(RawSocket& peer, int) {
  while (!peer.read_message().empty() && peer.send(kOk)) {
  }
}

/// Reads a request and never answers.
void hang(RawSocket& peer, int) {
  peer.read_message();
  peer.wait_for_end();
}

class EchoServer {
 public:
  EchoServer()
      : server_({}, [](mcp::Request request, const auto& responder) {
          mcp::Response response;
          response.headers.set("x-method", request.method);
          response.headers.set("x-path", request.path);
          response.headers.set("x-query", request.query);
          response.body = std::move(request.body);
          responder->respond(std::move(response));
        }) {
    url_ = "http://127.0.0.1:" + std::to_string(*server_.listen_loopback(0)) + "/mcp";
  }
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  http::Server server_;
  std::string url_;
};

TEST(Client, a_body_of_any_size_comes_back_as_it_went) {
  EchoServer server;
  Client client({});
  for (const std::size_t size : {0UL, 1UL, 1023UL, 65536UL, 1UL << 20U, 9'000'001UL}) {
    std::string body(size, ' ');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i * 7 + i / 251);
    const auto response = fetch(client, post(server.url(), body));
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_TRUE(response->body == body) << size;
    EXPECT_GE(response->body.capacity(), size + mcp::kBodyPadding);
  }
}

TEST(Client, method_path_and_query_arrive) {
  EchoServer server;
  Client client({});
  for (const std::string method : {"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"}) {
    ClientRequest request;
    request.method = method;
    request.url = server.url() + "?a=1&b=%20";
    const auto response = fetch(client, std::move(request));
    ASSERT_TRUE(response.ok()) << method << ": " << response.error().message;
    EXPECT_EQ(response->headers.get("x-method"), method);
    EXPECT_EQ(response->headers.get("x-path"), "/mcp");
    EXPECT_EQ(response->headers.get("x-query"), "a=1&b=%20");
  }
}

TEST(Client, nothing_is_sent_that_nobody_asked_for) {
  std::promise<std::string> seen;
  RawServer server([&seen](RawSocket& peer, int) {
    seen.set_value(peer.read_message());
    peer.send(kOk);
  });
  Client client({});
  auto request = post(server.url(), std::string(2000, 'x'));
  request.headers.set("x-one", "1");
  request.headers.set("x-empty", "");
  // Framing is the client's own business.
  request.headers.set("content-length", "3");
  request.headers.set("transfer-encoding", "chunked");
  request.headers.set("expect", "100-continue");
  ASSERT_TRUE(fetch(client, std::move(request)).ok());
  const std::string expected = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                               "\r\nx-one: 1\r\nx-empty:\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x');
  EXPECT_EQ(seen.get_future().get(), expected);
}

TEST(Client, what_is_no_request_is_refused_before_anything_is_sent) {
  RawServer server(answer_all);
  Client client({});
  const auto refused = [&client](ClientRequest request) {
    const auto response = fetch(client, std::move(request));
    return !response.ok() && response.error().code == Code::kInvalid;
  };
  for (const std::string url : {"", "nonsense", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1/a b",
                                "http://127.0.0.1/a\r\nx: y", "http://"}) {
    EXPECT_TRUE(refused(post(url))) << url;
  }
  EXPECT_TRUE(refused(post(std::string("http://127.0.0.1/\0x", 19))));
  for (const std::string& value :
       {std::string("a\r\nx: y"), std::string("a\nb"), std::string("a\0b", 3), std::string("a\x7f")}) {
    auto request = post(server.url());
    request.headers.set("x-evil", value);
    EXPECT_TRUE(refused(std::move(request))) << value;
  }
  auto bad_name = post(server.url());
  bad_name.headers.set("x evil", "1");
  EXPECT_TRUE(refused(std::move(bad_name)));
  auto bad_method = post(server.url());
  bad_method.method = "POST /x HTTP/1.1\r\nx: ";
  EXPECT_TRUE(refused(std::move(bad_method)));
  auto bad_socket = post(server.url());
  bad_socket.unix_socket = std::string("/tmp/a\0b", 8);
  EXPECT_TRUE(refused(std::move(bad_socket)));
  EXPECT_EQ(server.accepted(), 0);
}

TEST(Client, two_hundred_calls_at_once_open_no_more_connections_than_the_pool_holds) {
  RawServer server(answer_all);
  Client client({.max_connections_per_host = 8});
  std::latch all(200);
  std::atomic<int> good{0};
  for (int i = 0; i < 200; ++i) {
    client.fetch(post(server.url()), 100, [&](const Result<mcp::Response>& response) {
      if (response.ok() && response->body == "ok") ++good;
      all.count_down();
    });
  }
  all.wait();
  EXPECT_EQ(good, 200);
  EXPECT_LE(server.accepted(), 8);
}

TEST(Client, calls_one_after_the_other_share_one_connection) {
  RawServer server(answer_all);
  Client client({});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(fetch(client, post(server.url())).ok());
  EXPECT_EQ(server.accepted(), 1);
}

TEST(Client, a_redirect_is_an_answer_like_any_other) {
  RawServer server([](RawSocket& peer, int) {
    peer.read_message();
    peer.send("HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n");
  });
  Client client({});
  const auto response = fetch(client, post(server.url()));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 307);
  EXPECT_EQ(response->headers.get("location"), "/other");
  EXPECT_EQ(server.accepted(), 1);
}

TEST(Client, a_proxy_of_the_environment_is_not_used_for_loopback) {
  ::setenv("http_proxy", "http://127.0.0.1:9", 1);
  RawServer server(answer_all);
  Client client({});
  EXPECT_TRUE(fetch(client, post(server.url())).ok());
  auto by_name = post("http://localhost:" + std::to_string(server.port()) + "/mcp");
  EXPECT_TRUE(fetch(client, std::move(by_name)).ok());
  ::unsetenv("http_proxy");
}

TEST(Client, a_cancelled_exchange_ends_and_the_others_carry_on) {
  std::latch reached(1);
  RawServer server([&reached](RawSocket& peer, int connection) {
    if (connection > 0) return answer_all(peer, connection);
    peer.read_message();
    reached.count_down();
    peer.wait_for_end();
  });
  Client client({.max_connections_per_host = 1});
  const auto under_way = std::make_shared<Recorder>();
  const auto waiting = std::make_shared<Recorder>();
  const auto last = std::make_shared<Recorder>();
  const auto first_id = client.start(post(server.url()), under_way);
  reached.wait();
  const auto second_id = client.start(post(server.url()), waiting);
  client.start(post(server.url()), last);
  client.cancel(second_id);  // waits for a connection
  EXPECT_EQ(waiting->wait().error().code, Code::kCancelled);
  client.cancel(first_id);
  EXPECT_EQ(under_way->wait().error().code, Code::kCancelled);
  EXPECT_TRUE(last->wait().ok());
  client.cancel(first_id);  // over: nothing happens
  client.cancel(12345);
  EXPECT_TRUE(fetch(client, post(server.url())).ok());
}

TEST(Client, a_callback_may_cancel_and_start) {
  RawServer server([](RawSocket& peer, int) {
    while (!peer.read_message().empty()) {
      peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nsome");
    }
  });
  RawServer other(answer_all);
  class FromInside final : public Recorder {
   public:
    FromInside(Client& client, std::string next) : client_(client), next_(std::move(next)) {}
    void on_head(int status, const mcp::Headers& headers) override {
      Recorder::on_head(status, headers);
      client_.cancel(id.get_future().get());
    }
    void on_done(const Status& status) override {
      client_.start(post(next_), then);
      Recorder::on_done(status);
    }
    std::promise<std::uint64_t> id;
    std::shared_ptr<Recorder> then = std::make_shared<Recorder>();

   private:
    Client& client_;
    std::string next_;
  };
  Client client({});
  const auto exchange = std::make_shared<FromInside>(client, other.url());
  exchange->id.set_value(client.start(post(server.url()), exchange));
  EXPECT_EQ(exchange->wait().error().code, Code::kCancelled);
  EXPECT_TRUE(exchange->then->wait().ok());
}

TEST(Client, on_data_that_says_no_ends_the_exchange) {
  class Fed final : public Recorder {
    Flow on_data(std::string_view) override { return Flow::kStop; }
  };
  EchoServer server;
  Client client({});
  const auto exchange = std::make_shared<Fed>();
  client.start(post(server.url(), std::string(500'000, 'x')), exchange);
  EXPECT_EQ(exchange->wait().error().code, Code::kCancelled);
}

TEST(Client, a_whole_answer_over_the_limit_is_too_large) {
  EchoServer server;
  Client client({});
  EXPECT_TRUE(fetch(client, post(server.url(), std::string(1000, 'x')), 1000).ok());
  const auto response = fetch(client, post(server.url(), std::string(1001, 'x')), 1000);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kTooLarge);
}

TEST(Client, the_deadline_counts_also_while_waiting_for_a_connection) {
  RawServer server(hang);
  Client client({.max_connections_per_host = 1});
  const auto under_way = std::make_shared<Recorder>();
  const auto waiting = std::make_shared<Recorder>();
  auto request = post(server.url());
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  client.start(request, under_way);
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  client.start(request, waiting);
  EXPECT_EQ(waiting->wait().error().code, Code::kTimeout);
  EXPECT_EQ(under_way->wait().error().code, Code::kTimeout);
}

TEST(Client, a_deadline_that_has_passed_sends_nothing) {
  RawServer server(answer_all);
  Client client({});
  auto request = post(server.url());
  request.deadline = std::chrono::steady_clock::now();
  const auto response = fetch(client, std::move(request));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kTimeout);
  EXPECT_EQ(server.accepted(), 0);
}

TEST(Client, its_end_cancels_what_is_under_way) {
  std::latch reached(2);
  RawServer server([&reached](RawSocket& peer, int) {
    peer.read_message();
    reached.count_down();
    peer.wait_for_end();
  });
  std::vector<std::shared_ptr<Recorder>> exchanges;
  {
    Client client({.max_connections_per_host = 2});
    for (int i = 0; i < 5; ++i) {
      exchanges.push_back(std::make_shared<Recorder>());
      client.start(post(server.url()), exchanges.back());
    }
    reached.wait();
  }
  for (const auto& exchange : exchanges) EXPECT_EQ(exchange->wait().error().code, Code::kCancelled);
}

TEST(Client, one_that_is_never_used_starts_no_thread) {
  Client client({});
  client.cancel(1);
}

}  // namespace
}  // namespace ringside::test
