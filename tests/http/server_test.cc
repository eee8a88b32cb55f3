// The server and clients that keep the rules.
#include "http/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unix_socket.h"
#include "http/client.h"
#include "tests/http/exchanges.h"
#include "tests/http/serving.h"

namespace ringside::test {
namespace {

using http::Responder;
using http::Server;
using std::chrono::milliseconds;

TEST(Server, answers_on_one_connection_in_the_order_of_the_requests) {
  Serving serving;
  auto client = serving.connect();
  std::string all;
  for (int i = 0; i < 500; ++i) all += post_of("body " + std::to_string(i));
  ASSERT_TRUE(client.send(all));
  for (int i = 0; i < 500; ++i) {
    const std::string body = "body " + std::to_string(i);
    ASSERT_EQ(client.read_message(),
              "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
}

TEST(Server, pipelined_requests_wait_until_the_one_before_is_answered) {
  Desk desk;
  Serving serving(desk.handler());
  auto client = serving.connect();
  client.send(kGet + kGet);
  const auto first = desk.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(desk.waiting(), 0U);
  first->respond({200, {}, "1"});
  const auto second = desk.next();
  ASSERT_TRUE(second);
  second->respond({200, {}, "2"});
  EXPECT_TRUE(client.read_message().ends_with("\r\n1"));
  EXPECT_TRUE(client.read_message().ends_with("\r\n2"));
}

TEST(Server, http_1_0_gets_its_answer_and_the_end) {
  Serving serving;
  auto client = serving.connect();
  client.send("POST /mcp HTTP/1.0\r\ncontent-length: 2\r\n\r\nhi");
  EXPECT_EQ(client.read_to_end(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
  auto kept = serving.connect();
  kept.send("POST /mcp HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi");
  EXPECT_EQ(kept.read_message(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi");
  kept.send("POST /mcp HTTP/1.0\r\ncontent-length: 2\r\n\r\nho");
  EXPECT_TRUE(kept.read_to_end().ends_with("\r\n\r\nho"));
}

TEST(Server, the_answer_to_head_has_no_body) {
  Serving serving([](mcp::Request, const auto& responder) { responder->respond({405, {}, "no"}); });
  auto client = serving.connect();
  client.send("HEAD /mcp HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(client.read_to_end(), "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 2\r\nconnection: close\r\n\r\n");
}

TEST(Server, a_client_that_waits_for_leave_to_send_gets_it) {
  Serving serving;
  auto client = serving.connect();
  client.send("POST /mcp HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hi");
  EXPECT_TRUE(client.read_message().ends_with("\r\nhi"));
}

TEST(Server, statuses_without_a_body_have_none) {
  Serving serving([](mcp::Request, const auto& responder) { responder->respond({204, {}, "ignored"}); });
  auto client = serving.connect();
  client.send(kGet);
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST(Server, a_handler_cannot_break_the_frame) {
  Serving serving([](mcp::Request request, const auto& responder) {
    mcp::Response response;
    if (request.path == "/status") response.status = 42;
    response.headers.set("content-length", "99");
    response.headers.set("connection", "upgrade");
    response.headers.set("x-evil", "a\r\nx-injected: 1");
    response.headers.set("x-good", "1");
    response.body = "ok";
    responder->respond(response);
    responder->respond(response);  // once is enough
    responder->begin(200, {});
    responder->write("more");
    responder->end();
  });
  auto client = serving.connect();
  client.send(kGet);
  EXPECT_EQ(client.read_message(), "HTTP/1.1 200 OK\r\nx-good: 1\r\ncontent-length: 2\r\n\r\nok");
  client.send("GET /status HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 500 "));
}

TEST(Server, an_answer_can_be_streamed) {
  Desk desk;
  Serving serving(desk.handler());
  auto client = serving.connect();
  client.send(kGet + kGet);
  const auto responder = desk.next();
  mcp::Headers headers;
  headers.set("content-type", "text/event-stream");
  responder->begin(200, headers);
  EXPECT_EQ(client.read_until("\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
  responder->write("hello");
  EXPECT_EQ(client.read_until("hello\r\n"), "5\r\nhello\r\n");
  responder->write("");
  responder->begin(500, {});
  responder->respond({500, {}, ""});
  responder->write(std::string(300, 'x'));
  responder->end();
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "12c\r\n" + std::string(300, 'x') + "\r\n0\r\n\r\n");
  desk.next()->respond({200, {}, "next"});
  EXPECT_TRUE(client.read_message().ends_with("next"));
}

TEST(Server, http_1_0_and_head_get_streams_their_way) {
  const auto stream = [](mcp::Request request, const std::shared_ptr<Responder>& responder) {
    responder->begin(request.path == "/204" ? 204 : 200, {});
    responder->write("hello");
    responder->end();
  };
  Serving serving(stream);
  auto old = serving.connect();
  old.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
  EXPECT_EQ(old.read_to_end(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
  auto head = serving.connect();
  head.send("HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(head.read_to_end(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n");
  auto empty = serving.connect();
  empty.send("GET /204 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(empty.read_to_end(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
}

TEST(Server, a_request_that_nobody_answers_gets_500) {
  Serving serving([](mcp::Request, const auto&) {});
  auto client = serving.connect();
  client.send(kGet);
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
}

TEST(Server, a_stream_that_is_dropped_does_not_look_whole) {
  Desk desk;
  Serving serving(desk.handler());
  auto client = serving.connect();
  client.send(kGet);
  auto responder = desk.next();
  responder->begin(200, {});
  responder->write("half");
  EXPECT_NE(client.read_until("half\r\n"), "");
  responder.reset();
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(Server, answers_from_many_threads_each_reach_their_own_client) {
  std::mutex mutex;
  std::vector<std::thread> threads;
  Serving serving([&](mcp::Request request, std::shared_ptr<Responder> responder) {
    const std::lock_guard lock(mutex);
    threads.emplace_back([body = std::move(request.body), responder = std::move(responder)] {
      responder->begin(200, {});
      for (const char c : body) responder->write({&c, 1});
      responder->end();
    });
  });
  {
    http::Client client({.max_connections_per_host = 16});
    std::latch all(200);
    std::atomic<int> good{0};
    for (int i = 0; i < 200; ++i) {
      const std::string body = "body of " + std::to_string(i);
      client.fetch(post("http://127.0.0.1:" + std::to_string(serving.port()) + "/", body), 1000,
                   [&, body](const Result<mcp::Response>& response) {
                     if (response.ok() && response->body == body) ++good;
                     all.count_down();
                   });
    }
    all.wait();
    EXPECT_EQ(good, 200);
  }
  for (auto& thread : threads) thread.join();
}

TEST(Server, draining_answers_what_is_under_way_and_closes_the_rest) {
  Desk desk;
  Serving serving(desk.handler());
  auto idle = serving.connect();
  auto busy = serving.connect();
  auto half = serving.connect();
  busy.send(kGet + kGet);
  half.send("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  EXPECT_EQ(half.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  auto done = serving.connect();
  done.send(kGet);
  const auto first = desk.next();
  const auto second = desk.next();
  std::promise<void> drained;
  auto all_closed = drained.get_future();
  serving.server().drain([&drained] { drained.set_value(); });
  EXPECT_EQ(idle.read_to_end(), "");
  first->respond({200, {}, "ok"});
  second->respond({200, {}, "ok"});
  EXPECT_TRUE(busy.read_to_end().ends_with("content-length: 2\r\nconnection: close\r\n\r\nok"));
  EXPECT_TRUE(done.read_to_end().ends_with("content-length: 2\r\nconnection: close\r\n\r\nok"));
  EXPECT_EQ(all_closed.wait_for(milliseconds(0)), std::future_status::timeout) << "one is still sending";
  half.send("hi");
  desk.next()->respond({200, {}, "ok"});
  EXPECT_TRUE(half.read_to_end().ends_with("connection: close\r\n\r\nok"));
  EXPECT_EQ(all_closed.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(serving.server().open_connections(), 0U);
}

TEST(Server, serves_connections_that_somebody_else_accepted) {
  Server server({}, echo);
  auto pair = socket_pair(SocketKind::kStream, true);
  ASSERT_TRUE(pair.ok());
  server.adopt(std::move(pair->first));
  RawSocket client(std::move(pair->second));
  client.send(post_of("over a Unix socket"));
  EXPECT_TRUE(client.read_message().ends_with("\r\nover a Unix socket"));
  EXPECT_EQ(server.open_connections(), 1U);
}

TEST(Server, the_client_reaches_it_through_a_unix_socket) {
  const std::string path = "/tmp/ringside-http-test-" + std::to_string(::getpid());
  ASSERT_EQ(::system(("mkdir -m 0750 " + path).c_str()), 0);
  auto listener = listen_at(path + "/http.sock", SocketKind::kStream);
  ASSERT_TRUE(listener.ok());
  const int flags = ::fcntl(listener->get(), F_GETFL);
  ::fcntl(listener->get(), F_SETFL, flags & ~O_NONBLOCK);
  Server server({}, echo);
  std::thread accept([&] { server.adopt(UniqueFd(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK))); });
  http::Client client({});
  auto request = post("http://localhost/mcp", "hello");
  request.unix_socket = path + "/http.sock";
  for (int i = 0; i < 3; ++i) {
    const auto response = fetch(client, request);
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->body, "hello");
  }
  EXPECT_EQ(server.open_connections(), 1U);
  accept.join();
  EXPECT_EQ(::system(("rm -r " + path).c_str()), 0);
}

TEST(Server, a_port_that_is_taken_is_an_error) {
  Serving serving;
  Server second({}, echo);
  const auto port = second.listen_loopback(serving.port());
  ASSERT_FALSE(port.ok());
  EXPECT_EQ(port.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace ringside::test
