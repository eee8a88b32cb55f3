// The server and clients that break off, stall, flood, never read or speak no HTTP.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/unix_socket.h"
#include "http/client.h"
#include "http/server.h"
#include "tests/http/exchanges.h"
#include "tests/http/serving.h"

namespace ringside::test {
namespace {

using http::Responder;
using http::Server;
using std::chrono::milliseconds;

TEST(ServerHostile, a_client_that_pipelines_without_end_waits_in_its_own_socket) {
  Desk desk;
  Serving serving(desk.handler(), {.max_header_bytes = 1024});
  auto client = serving.connect();
  std::string flood;
  for (int i = 0; i < 400; ++i) flood += kGet;
  ASSERT_TRUE(client.send(flood));
  for (int i = 0; i < 400; ++i) {
    const auto responder = desk.next();
    ASSERT_TRUE(responder) << i;
    responder->respond({200, {}, std::to_string(i)});
    ASSERT_TRUE(client.read_message().ends_with("\r\n" + std::to_string(i)));
  }
}

TEST(ServerHostile, one_byte_at_a_time_is_served_like_all_at_once) {
  Serving serving;
  auto client = serving.connect();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send_slowly(post_of("hello")));
    EXPECT_TRUE(client.read_message().ends_with("\r\nhello"));
  }
}

TEST(ServerHostile, a_refusal_names_the_fault_in_json_and_closes) {
  Serving serving;
  const auto answer_to = [&serving](const std::string& bytes) {
    auto client = serving.connect();
    client.send(bytes);
    return client.read_to_end();
  };
  const std::string missing_host = answer_to("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(missing_host.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"))
      << missing_host;
  EXPECT_NE(missing_host.find("\r\nconnection: close\r\n"), std::string::npos);
  EXPECT_TRUE(missing_host.ends_with(R"({"error":"Bad Request","message":"Host is missing"})")) << missing_host;
  EXPECT_TRUE(answer_to("GET / HTTP/1.1\r\nhost: x\r\nbad name: 1\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(answer_to(post_of("x", "transfer-encoding: chunked\r\n")).starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(answer_to("GET / HTTP/1.1\r\nhost: x\r\nx: " + std::string(70'000, 'y')).starts_with("HTTP/1.1 431 "));
}

TEST(ServerHostile, what_follows_a_refused_request_is_not_served) {
  std::atomic<int> served{0};
  Serving serving([&served](mcp::Request, const auto& responder) {
    ++served;
    responder->respond({200, {}, ""});
  });
  auto client = serving.connect();
  client.send("GET / HTTP/1.1\r\n\r\n" + kGet);
  const std::string all = client.read_to_end();
  EXPECT_TRUE(all.starts_with("HTTP/1.1 400 ")) << all;
  EXPECT_EQ(all.find("200 OK"), std::string::npos);
  EXPECT_EQ(served, 0);
}

TEST(ServerHostile, a_body_over_the_limit_is_refused_and_the_client_gets_to_read_it) {
  Serving serving(echo, {.max_body_bytes = 1U << 20U});
  http::Client client({});
  const std::string url = "http://127.0.0.1:" + std::to_string(serving.port()) + "/mcp";
  EXPECT_EQ(fetch(client, post(url, std::string(1U << 20U, 'x')))->status, 200);
  for (const std::size_t size : {(1U << 20U) + 1, 32U << 20U}) {
    const auto response = fetch(client, post(url, std::string(size, 'x')));
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->status, 413);
    EXPECT_NE(response->body.find("over the limit"), std::string::npos);
  }
  auto stubborn = serving.connect();
  stubborn.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n" + std::string(9'999'999, 'x'));
  EXPECT_TRUE(stubborn.read_message().starts_with("HTTP/1.1 413 "));
}

TEST(ServerHostile, a_request_that_dribbles_in_is_cut_off) {
  Serving serving(echo, {.idle_timeout = milliseconds(60'000), .request_timeout = milliseconds(100)});
  auto client = serving.connect();
  std::thread dribble([&client] {
    client.send("POST / HTTP/1.1\r\nhost: x\r\nx: ");
    while (client.send("y")) {
    }
  });
  EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 4"));
  client.close_sending();
  dribble.join();
}

TEST(ServerHostile, a_stalled_request_is_told_that_it_took_too_long) {
  Serving serving(echo, {.idle_timeout = milliseconds(60'000), .request_timeout = milliseconds(50)});
  for (const std::string part : {"G", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel",
                                 "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"}) {
    auto client = serving.connect();
    client.send(part);
    EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 408 Request Timeout\r\n")) << part;
  }
}

TEST(ServerHostile, an_idle_connection_is_closed_without_a_word) {
  Serving serving(echo, {.idle_timeout = milliseconds(50)});
  auto silent = serving.connect();
  EXPECT_EQ(silent.read_to_end(), "");
  auto client = serving.connect();
  client.send(post_of("hi") + "\r\n");
  EXPECT_TRUE(client.read_to_end().ends_with("\r\nhi"));
}

TEST(ServerHostile, a_handler_may_take_longer_than_any_limit_on_the_client) {
  Desk desk;
  Serving serving(desk.handler(), {.idle_timeout = milliseconds(20), .request_timeout = milliseconds(20)});
  auto client = serving.connect();
  client.send(kGet);
  const auto responder = desk.next();
  auto witness = serving.connect();  // closed as idle later than the first would be, if it were
  EXPECT_EQ(witness.read_to_end(), "");
  responder->respond({200, {}, "late"});
  EXPECT_TRUE(client.read_message().ends_with("late"));
}

TEST(ServerHostile, a_client_that_never_reads_its_answer_is_closed) {
  Desk desk;
  Serving serving(desk.handler(), {.idle_timeout = milliseconds(50)});
  auto client = serving.connect();
  client.send(kGet);
  desk.next()->respond({200, {}, std::string(32U << 20U, 'x')});
  // What is in the sockets' buffers still comes, but not the whole.
  auto witness = serving.connect();
  EXPECT_TRUE(witness.wait_for_end());
  auto second_witness = serving.connect();
  EXPECT_TRUE(second_witness.wait_for_end());
  EXPECT_LT(client.read_to_end().size(), 32U << 20U);
}

TEST(ServerHostile, a_handler_hears_that_its_client_is_gone) {
  Desk desk;
  Serving serving(desk.handler());
  for (const bool reset : {false, true}) {
    auto client = serving.connect();
    client.send(kGet);
    const auto responder = desk.next();
    std::thread leave([&client, reset] { reset ? client.reset() : client.close(); });
    EXPECT_TRUE(is_gone(responder));
    leave.join();
    EXPECT_TRUE(is_gone(responder)) << "at once, now";
    responder->respond({200, {}, "nobody reads this"});
  }
}

TEST(ServerHostile, nobody_is_gone_once_the_answer_is_complete) {
  Desk desk;
  Serving serving(desk.handler());
  std::atomic<bool> called{false};
  auto client = serving.connect();
  client.send(kGet);
  const auto responder = desk.next();
  responder->on_gone([&called] { called = true; });
  responder->respond({200, {}, "ok"});
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  client.close();
  serving.end();
  responder->on_gone([&called] { called = true; });
  EXPECT_FALSE(called);
}

TEST(ServerHostile, a_client_that_does_not_read_its_stream_loses_it) {
  Desk desk;
  Serving serving(desk.handler(), {.max_body_bytes = 1U << 20U});
  auto client = serving.connect();
  client.send(kGet);
  const auto responder = desk.next();
  std::atomic<bool> gone{false};
  responder->on_gone([&gone] { gone = true; });
  responder->begin(200, {});
  const std::string piece(100'000, 'x');
  while (!gone) responder->write(piece);
  responder->end();
}

TEST(ServerHostile, its_end_tells_handlers_that_their_clients_are_gone) {
  Desk desk;
  Serving serving(desk.handler());
  auto client = serving.connect();
  client.send(kGet);
  const auto responder = desk.next();
  std::atomic<bool> gone{false};
  responder->on_gone([&gone] { gone = true; });
  serving.end();
  EXPECT_TRUE(gone);
  responder->respond({200, {}, "into the void"});
  responder->begin(200, {});
  EXPECT_TRUE(client.wait_for_end());
}

TEST(ServerHostile, what_is_no_stream_socket_is_let_go) {
  Server server({}, echo);
  auto pair = socket_pair(SocketKind::kSeqPacket, true);
  ASSERT_TRUE(pair.ok());
  server.adopt(std::move(pair->first));
  EXPECT_TRUE(RawSocket(std::move(pair->second)).wait_for_end());
  server.adopt(UniqueFd());
  std::promise<void> drained;
  server.drain([&drained] { drained.set_value(); });
  drained.get_future().wait();
  EXPECT_EQ(server.open_connections(), 0U);
  auto late = socket_pair(SocketKind::kStream, true);
  server.adopt(std::move(late->first));
  EXPECT_TRUE(RawSocket(std::move(late->second)).wait_for_end()) << "nothing new while draining";
}

}  // namespace
}  // namespace ringside::test
