// Bodies whose reader says "not now": they wait in the socket, and nobody else does.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "http/client.h"
#include "tests/http/exchanges.h"
#include "tests/http/raw_socket.h"

namespace ringside::test {
namespace {

using http::Client;

/// Says what the test says to each piece, and counts them.
class Reader final : public Recorder {
 public:
  explicit Reader(std::function<Flow(int piece)> says) : says_(std::move(says)) {}
  Flow on_data(std::string_view bytes) override {
    Recorder::on_data(bytes);
    const Flow flow = says_(pieces_ + 1);
    const std::lock_guard lock(mutex_);
    ++pieces_;
    came_.notify_all();
    return flow;
  }
  bool wait_for_piece(int number) {
    std::unique_lock lock(mutex_);
    return came_.wait_for(lock, std::chrono::seconds(20), [&] { return pieces_ >= number; });
  }
  int pieces() {
    const std::lock_guard lock(mutex_);
    return pieces_;
  }

 private:
  const std::function<Flow(int)> says_;
  std::mutex mutex_;
  std::condition_variable came_;
  int pieces_ = 0;
};

std::shared_ptr<Reader> waits_after_first() {
  return std::make_shared<Reader>([](int piece) { return piece == 1 ? Flow::kWait : Flow::kMore; });
}

std::string body_of(std::size_t bytes) {
  std::string body(bytes, ' ');
  for (std::size_t i = 0; i < bytes; ++i) body[i] = static_cast<char>('a' + i % 26);
  return body;
}
std::string with_length(const std::string& body) {
  // It closes: said so, or the next call may try a connection that is about to end.
  return "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string chunked(const std::string& body) {
  std::string text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += 5) {
    text += "5\r\n" + body.substr(at, 5) + "\r\n";
  }
  return text + "0\r\n\r\n";
}
/// Answers the first connection with `bytes` and closes, the others with two of their own.
RawServer::Script says(const std::string& bytes) {
  return [bytes](RawSocket& peer, int connection) {
    peer.read_message();
    peer.send(connection == 0 ? bytes : with_length("ok"));
  };
}

TEST(ClientPause, a_body_waits_for_its_reader_and_nobody_else_does) {
  const std::string body = body_of(8'000'000);
  RawServer server(says(with_length(body)));
  Client client({});
  const auto reader = waits_after_first();
  const auto id = client.start(post(server.url()), reader);
  ASSERT_TRUE(reader->wait_for_piece(1));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(fetch(client, post(server.url()))->body, "ok");
  EXPECT_EQ(reader->pieces(), 1);
  client.resume(id);
  ASSERT_TRUE(reader->wait().ok());
  EXPECT_TRUE(reader->body() == body);
}

TEST(ClientPause, a_reader_may_wait_after_every_piece) {
  const std::string body = body_of(1'000'000);
  RawServer server(says(with_length(body)));
  Client client({});
  const auto reader = std::make_shared<Reader>([](int) { return Flow::kWait; });
  const auto id = client.start(post(server.url()), reader);
  for (int piece = 1; reader->pieces() * 16'384 < 900'000; ++piece) {
    ASSERT_TRUE(reader->wait_for_piece(piece)) << piece;
    client.resume(id);
  }
  std::atomic<bool> done{false};
  std::thread resumer([&] {
    while (!done) client.resume(id);
  });
  EXPECT_TRUE(reader->wait().ok());
  done = true;
  resumer.join();
  EXPECT_TRUE(reader->body() == body);
}

TEST(ClientPause, a_resume_that_comes_before_its_pause_counts) {
  const std::string body = body_of(3'000'000);
  RawServer server(says(with_length(body)));
  Client client({});
  std::promise<std::uint64_t> number;
  const auto id = number.get_future().share();
  const auto reader = std::make_shared<Reader>([&](int) {
    client.resume(id.get());
    return Flow::kWait;
  });
  number.set_value(client.start(post(server.url()), reader));
  EXPECT_TRUE(reader->wait().ok());
  EXPECT_TRUE(reader->body() == body);
}

TEST(ClientPause, a_body_that_ended_meanwhile_is_whole) {
  const std::string body = body_of(50);
  const std::string unframed = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body;
  for (const std::string& answer : {chunked(body), with_length(body), unframed}) {
    for (const bool at_once : {true, false}) {
      RawServer server([&](RawSocket& peer, int) {
        peer.read_message();
        at_once ? peer.send(answer) : peer.send_slowly(answer);
      });
      Client client({});
      const auto reader = waits_after_first();
      const auto id = client.start(post(server.url()), reader);
      ASSERT_TRUE(reader->wait_for_piece(1));
      EXPECT_TRUE(fetch(client, post(server.url())).ok());
      client.resume(id);
      ASSERT_TRUE(reader->wait().ok()) << answer;
      EXPECT_EQ(reader->body(), body);
    }
  }
}

TEST(ClientPause, a_reader_that_waits_for_nothing_more_hears_of_the_end) {
  RawServer server(says(with_length("all of it")));
  Client client({});
  const auto reader = std::make_shared<Reader>([](int) { return Flow::kWait; });
  client.start(post(server.url()), reader);
  EXPECT_TRUE(reader->wait().ok());
  EXPECT_EQ(reader->body(), "all of it");
}

TEST(ClientPause, a_connection_that_breaks_meanwhile_is_an_error_after_what_came) {
  RawServer server(says(with_length(body_of(50)).substr(0, 70)));
  Client client({});
  const auto reader = waits_after_first();
  const auto id = client.start(post(server.url()), reader);
  ASSERT_TRUE(reader->wait_for_piece(1));
  client.resume(id);
  EXPECT_EQ(reader->wait().error().code, Code::kUpstream);
}

TEST(ClientPause, a_cancel_a_deadline_and_the_clients_end_reach_who_waits) {
  RawServer server([&](RawSocket& peer, int) {
    peer.read_message();
    peer.send(with_length(body_of(8'000'000)));
    peer.wait_for_end();
  });
  auto client = std::make_unique<Client>(http::ClientOptions{});
  const auto cancelled = waits_after_first();
  const auto id = client->start(post(server.url()), cancelled);
  ASSERT_TRUE(cancelled->wait_for_piece(1));
  client->cancel(id);
  EXPECT_EQ(cancelled->wait().error().code, Code::kCancelled);
  client->resume(id);  // over: nothing happens
  client->resume(12345);

  const auto late = waits_after_first();
  auto request = post(server.url());
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  client->start(std::move(request), late);
  ASSERT_TRUE(late->wait_for_piece(1));
  EXPECT_EQ(late->wait().error().code, Code::kTimeout);

  const auto left = waits_after_first();
  client->start(post(server.url()), left);
  ASSERT_TRUE(left->wait_for_piece(1));
  client.reset();
  EXPECT_EQ(left->wait().error().code, Code::kCancelled);
  for (const auto& each : {cancelled, late, left}) EXPECT_EQ(each->pieces(), 1);
}

TEST(ClientPause, a_reader_that_has_enough_after_it_waited_ends_the_exchange) {
  RawServer server([&](RawSocket& peer, int) {
    peer.read_message();
    peer.send(with_length(body_of(8'000'000)));
    peer.wait_for_end();
  });
  Client client({});
  const auto reader = std::make_shared<Reader>([](int piece) { return piece == 1 ? Flow::kWait : Flow::kStop; });
  const auto id = client.start(post(server.url()), reader);
  ASSERT_TRUE(reader->wait_for_piece(1));
  // The next piece is with curl by now, not in the socket.
  EXPECT_TRUE(fetch(client, post(server.url())).ok());
  client.resume(id);
  EXPECT_EQ(reader->wait().error().code, Code::kCancelled);
  EXPECT_EQ(reader->pieces(), 2);
}

TEST(ClientPause, one_that_was_never_paused_may_be_resumed) {
  RawServer server(says(with_length(body_of(100'000))));
  Client client({});
  const auto reader = std::make_shared<Reader>([](int) { return Flow::kMore; });
  const auto id = client.start(post(server.url()), reader);
  for (int i = 0; i < 100; ++i) client.resume(id);
  EXPECT_TRUE(reader->wait().ok());
  EXPECT_EQ(reader->body().size(), 100'000U);
}

}  // namespace
}  // namespace ringside::test
