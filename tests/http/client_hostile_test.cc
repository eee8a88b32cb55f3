// The client against servers that break off, lie, stall, flood or speak one byte at a time.
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "http/client.h"
#include "tests/http/exchanges.h"
#include "tests/http/raw_socket.h"

namespace ringside::test {
namespace {

using http::Client;

/// What becomes of a POST that is answered with these bytes, after which the connection closes.
struct Fate {
  Status status;
  int http_status = 0;
  std::string body;
  mcp::Headers headers;
  int heads = 0;
};

Fate answered_with(const RawServer::Script& answer) {
  RawServer server([&answer](RawSocket& peer, int connection) {
    peer.read_message();
    answer(peer, connection);
  });
  Client client({.max_header_bytes = 16 * 1024});
  const auto exchange = std::make_shared<Recorder>();
  client.start(post(server.url()), exchange);
  const Status status = exchange->wait();
  return {status, exchange->status(), exchange->body(), exchange->headers(), exchange->heads()};
}

Fate answered_with(const std::string& bytes) {
  return answered_with([&bytes](RawSocket& peer, int) { peer.send(bytes); });
}

Code code_of(const Fate& fate) { return fate.status.ok() ? Code::kSystem : fate.status.error().code; }

const std::string kChunked =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\n"
    "x-trailer: 1\r\n\r\n";

TEST(ClientHostile, one_byte_at_a_time_is_read_like_all_at_once) {
  const auto fate = answered_with([](RawSocket& peer, int) { peer.send_slowly(kChunked); });
  ASSERT_TRUE(fate.status.ok()) << fate.status.error().message;
  EXPECT_EQ(fate.body, "hello world!");
  EXPECT_EQ(fate.heads, 1);
  EXPECT_EQ(fate.headers.find("x-trailer"), nullptr);
}

TEST(ClientHostile, chunks_may_be_split_anywhere) {
  RawServer server([](RawSocket& peer, int) {
    for (std::size_t split = 1; split < kChunked.size(); ++split) {
      if (peer.read_message().empty()) return;
      peer.send(kChunked.substr(0, split));
      std::this_thread::yield();
      peer.send(kChunked.substr(split));
    }
  });
  Client client({});
  for (std::size_t split = 1; split < kChunked.size(); ++split) {
    const auto response = fetch(client, post(server.url()));
    ASSERT_TRUE(response.ok()) << split << ": " << response.error().message;
    EXPECT_EQ(response->body, "hello world!") << split;
  }
}

TEST(ClientHostile, interim_heads_are_passed_over) {
  const auto fate = answered_with(
      "HTTP/1.1 100 Continue\r\nx-interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
      "HTTP/1.1 201 Created\r\nX-Final: yes\r\ncontent-length: 4\r\n\r\nbody");
  ASSERT_TRUE(fate.status.ok()) << fate.status.error().message;
  EXPECT_EQ(fate.heads, 1);
  EXPECT_EQ(fate.http_status, 201);
  EXPECT_EQ(fate.headers.get("x-final"), "yes");
  EXPECT_EQ(fate.headers.find("x-interim"), nullptr);
  EXPECT_EQ(fate.body, "body");
}

TEST(ClientHostile, repeated_headers_are_joined_and_forbidden_ones_left_out) {
  const auto fate = answered_with(
      "HTTP/1.1 200 OK\r\nvary: a\r\nVary: b\r\nset-cookie: x=1\r\nset-cookie: y=2\r\nbad name: 1\r\n"
      "x-control: a\x01z\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(fate.status.ok()) << fate.status.error().message;
  EXPECT_EQ(fate.headers.get("vary"), "a, b");
  EXPECT_EQ(fate.headers.get("set-cookie"), "y=2");
  EXPECT_EQ(fate.headers.find("bad name"), nullptr);
  EXPECT_EQ(fate.headers.find("x-control"), nullptr);
}

TEST(ClientHostile, a_body_that_is_cut_off_is_no_answer) {
  for (const std::string bytes : {
           "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345",
           "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
           "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
           "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n",
       }) {
    EXPECT_EQ(code_of(answered_with(bytes)), Code::kUpstream) << bytes;
  }
}

TEST(ClientHostile, what_is_not_http_is_no_answer) {
  EXPECT_EQ(code_of(answered_with("<html>hello</html>\r\n\r\n")), Code::kUpstream);
  EXPECT_EQ(code_of(answered_with("SSH-2.0-OpenSSH_9.2\r\n")), Code::kUpstream);
  EXPECT_EQ(code_of(answered_with(std::string(200'000, 'x'))), Code::kUpstream);
}

TEST(ClientHostile, a_connection_that_closes_before_the_head_counts_as_unavailable) {
  EXPECT_EQ(code_of(answered_with("")), Code::kUnavailable);
  EXPECT_EQ(code_of(answered_with("HTTP/1.1 200 OK\r\nx-half: ")), Code::kUnavailable);
  EXPECT_EQ(code_of(answered_with("HTTP/1.1 100 Continue\r\n\r\n")), Code::kUnavailable);
  EXPECT_EQ(code_of(answered_with([](RawSocket& peer, int) { peer.reset(); })), Code::kUnavailable);
}

TEST(ClientHostile, an_unasked_protocol_switch_is_no_answer) {
  const auto fate = answered_with("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nbytes");
  ASSERT_FALSE(fate.status.ok());
  EXPECT_EQ(fate.heads, 0);
}

TEST(ClientHostile, headers_beyond_the_limit_end_the_exchange) {
  const std::string many = "HTTP/1.1 200 OK\r\n" + [] {
    std::string lines;
    for (int i = 0; i < 1000; ++i) lines += "x-" + std::to_string(i) + ": 12345678901234567890\r\n";
    return lines;
  }() + "content-length: 0\r\n\r\n";
  EXPECT_EQ(code_of(answered_with(many)), Code::kUpstream);
  EXPECT_EQ(code_of(answered_with("HTTP/1.1 200 OK\r\nx: " + std::string(90'000, 'y') + "\r\n\r\n")), Code::kUpstream);
}

TEST(ClientHostile, interim_heads_without_end_hit_the_limit) {
  const auto fate = answered_with([](RawSocket& peer, int) {
    while (peer.send("HTTP/1.1 100 Continue\r\nx: 0123456789012345678901234567890123456789\r\n\r\n")) {
    }
  });
  EXPECT_EQ(code_of(fate), Code::kUpstream);
}

TEST(ClientHostile, a_port_that_nobody_listens_on_is_unavailable) {
  Client client({});
  const auto response = fetch(client, post("http://127.0.0.1:" + std::to_string(closed_port()) + "/"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_EQ(response.error().os_error, ECONNREFUSED);
  auto no_socket = post("http://localhost/");
  no_socket.unix_socket = "/tmp/no-such-folder/socket";
  const auto refused = fetch(client, std::move(no_socket));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
}

TEST(ClientHostile, a_name_that_does_not_exist_is_unavailable) {
  Client client({});
  const auto response = fetch(client, post("http://no-such-host.invalid/"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
}

TEST(ClientHostile, a_server_that_speaks_no_tls_is_unavailable_over_https) {
  RawServer server([](RawSocket& peer, int) { peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"); });
  Client client({});
  const auto response = fetch(client, post("https://127.0.0.1:" + std::to_string(server.port()) + "/"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
}

TEST(ClientHostile, an_answer_that_never_ends_meets_the_deadline) {
  RawServer server([](RawSocket& peer, int) {
    peer.read_message();
    peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    while (peer.send("1\r\nx\r\n")) {
    }
  });
  Client client({});
  const auto exchange = std::make_shared<Recorder>();
  auto request = post(server.url());
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  client.start(std::move(request), exchange);
  EXPECT_TRUE(exchange->wait_for_head());
  EXPECT_EQ(exchange->wait().error().code, Code::kTimeout);
}

TEST(ClientHostile, a_refusal_before_the_body_is_all_sent_is_read) {
  const auto refuse = [](RawSocket& peer, int) {
    peer.read_until("\r\n\r\n");
    peer.send("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig");
    peer.wait_for_end();
  };
  RawServer server(refuse);
  Client client({});
  const auto response = fetch(client, post(server.url(), std::string(32U << 20U, 'x')));
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(response->body, "big");
}

}  // namespace
}  // namespace ringside::test
