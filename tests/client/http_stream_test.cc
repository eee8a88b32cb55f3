// Streams through the HTTP door of the client library, against a server of this process.

#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <vector>

#include "tests/client/calls.h"
#include "tests/client/http_served.h"
#include "tests/client/streams.h"
#include "tests/support/process.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Responder = std::shared_ptr<http::Responder>;

mcp::Headers event_headers() {
  mcp::Headers headers;
  headers.set("content-type", "text/event-stream");
  headers.set("mcp-session-id", "s");
  return headers;
}

class HttpStream : public testing::Test {
 protected:
  /// Each stream that comes is handed to the test, POSTs are echoed.
  std::unique_ptr<Served> serve() {
    return std::make_unique<Served>(folder_.file("http.sock"), [this](Request request, const Responder& responder) {
      if (request.path == "/echo") return responder->respond({200, {}, std::move(request.body)});
      accept_ = std::string(request.headers.get("accept"));
      method_ = request.method;
      came_.put(responder);
    });
  }
  std::shared_ptr<Client> client() const {
    ClientOptions options;
    options.runtime_dir = folder_.path();
    options.door = DoorChoice::kHttp;
    return Client::connect(options).value();
  }
  std::shared_ptr<Stream> open(const std::shared_ptr<Client>& client, const StreamOptions& options = {}) {
    auto opening = std::async(std::launch::async, [&] { return client->stream(get(), options); });
    responder_ = came_.next();
    responder_->begin(200, event_headers());
    return opening.get().value();
  }
  static Request echo(std::string body) {
    Request request = post(std::move(body));
    request.path = "/echo";
    return request;
  }
  bool is_gone() const {
    const auto gone = std::make_shared<std::promise<void>>();
    responder_->on_gone([gone] { gone->set_value(); });
    return gone->get_future().wait_for(seconds(30)) == std::future_status::ready;
  }

  TempDir folder_;
  std::string accept_;
  std::string method_;
  Handover<Responder> came_;
  Responder responder_;
};

TEST_F(HttpStream, pieces_come_as_the_worker_sends_them) {
  const auto served = serve();
  const auto client = this->client();
  CallTrace trace;
  StreamOptions options;
  options.trace = &trace;
  const auto stream = open(client, options);
  EXPECT_EQ(method_, "GET");
  EXPECT_EQ(accept_, "application/json, text/event-stream");
  EXPECT_EQ(stream->head().status, 200);
  EXPECT_EQ(stream->head().headers.get("content-type"), "text/event-stream");
  EXPECT_EQ(stream->head().headers.find("transfer-encoding"), nullptr);
  for (const std::string piece : {"one", "two"}) {
    responder_->write(piece);
    EXPECT_EQ(**stream->read(), piece);
  }
  EXPECT_EQ(stream->read(in(milliseconds(20))).error().code, Code::kTimeout) << "and it goes on";
  responder_->write("three");
  responder_->end();
  EXPECT_EQ(rest_of(*stream), "three");
  EXPECT_EQ(trace.door, DoorChoice::kHttp);
  EXPECT_EQ(trace.inline_bytes_in, 11U);
}

TEST_F(HttpStream, an_answer_that_comes_whole_is_a_head_and_its_body) {
  const auto served = serve();
  const auto client = this->client();
  const auto stream = client->stream(echo(std::string(3'000'000, 'x'))).value();
  EXPECT_EQ(stream->head().status, 200);
  EXPECT_TRUE(rest_of(*stream) == std::string(3'000'000, 'x'));
  EXPECT_EQ(rest_of(*client->stream(echo("")).value()), "");
}

TEST_F(HttpStream, a_slow_reader_holds_its_worker_up_and_loses_nothing) {
  const auto served = serve();
  const auto client = this->client();
  const auto stream = open(client);
  std::promise<void> room;
  responder_->on_room([&room] { room.set_value(); });
  std::string sent;
  for (bool more = true; more && sent.size() < (60U << 20U);) {
    sent += std::string(100'000, static_cast<char>('a' + sent.size() / 100'000 % 26));
    more = responder_->write(sent.substr(sent.size() - 100'000));
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client->call(echo("x"))->body, "x") << "nobody else is held up";
  std::string text;
  while (text.size() < sent.size()) text += **stream->read();
  EXPECT_EQ(room.get_future().wait_for(seconds(30)), std::future_status::ready);
  responder_->end();
  EXPECT_TRUE(text + rest_of(*stream) == sent);
}

TEST_F(HttpStream, a_cancelled_one_ends_for_its_reader_and_for_the_worker) {
  const auto served = serve();
  const auto client = this->client();
  const auto stream = open(client);
  std::thread canceller([&] { stream->cancel(); });
  EXPECT_EQ(stream->read().error().code, Code::kCancelled);
  canceller.join();
  EXPECT_TRUE(is_gone());
}

TEST_F(HttpStream, one_that_is_dropped_unread_leaves_nothing) {
  const auto served = serve();
  const auto client = this->client();
  CallTrace trace;
  StreamOptions options;
  options.trace = &trace;
  auto stream = open(client, options);
  for (int i = 0; i < 50; ++i) responder_->write(std::string(100'000, 'x'));
  stream.reset();
  trace.ring = 12345;  // nobody writes there any more
  EXPECT_TRUE(is_gone());
  EXPECT_EQ(client->call(echo("x"))->body, "x");
  EXPECT_EQ(trace.ring, 12345U);
}

TEST_F(HttpStream, its_timeout_is_of_all_of_it) {
  const auto served = serve();
  const auto client = this->client();
  StreamOptions options;
  options.timeout = milliseconds(300);
  EXPECT_EQ(client->stream(get(), options).error().code, Code::kTimeout) << "no head came";
  (void)came_.next();
  const auto stream = open(client, options);
  EXPECT_EQ(stream->read().error().code, Code::kTimeout);
}

TEST_F(HttpStream, a_worker_that_dies_in_the_middle_breaks_it_off) {
  auto served = serve();
  const auto client = this->client();
  const auto stream = open(client);
  responder_->write("good");
  EXPECT_EQ(**stream->read(), "good");
  responder_.reset();  // an answer that nobody will end
  EXPECT_EQ(stream->read().error().code, Code::kUnavailable);
}

TEST_F(HttpStream, a_worker_that_dies_before_the_head_is_replaced) {
  auto served = serve();
  const auto client = this->client();
  auto opening = std::async(std::launch::async, [&] { return client->stream(get()); });
  auto first = came_.next();
  served.reset();
  first.reset();
  served = serve();
  came_.next()->respond({200, {}, "answer"});
  EXPECT_EQ(rest_of(*opening.get().value()), "answer");
}

TEST_F(HttpStream, the_end_of_its_client_ends_it) {
  const auto served = serve();
  auto client = this->client();
  const auto stream = open(client);
  for (int i = 0; i < 50; ++i) responder_->write(std::string(100'000, 'x'));
  client.reset();
  while (true) {
    const auto piece = stream->read();
    if (piece.ok()) {
      ASSERT_TRUE(piece->has_value());
      continue;
    }
    EXPECT_EQ(piece.error().code, Code::kCancelled);
    break;
  }
  stream->cancel();
}

TEST_F(HttpStream, many_at_once_leave_room_for_calls) {
  const auto served = serve();
  const auto client = this->client();
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 40; ++i) streams.push_back(open(client));
  EXPECT_EQ(client->call(echo("x"))->body, "x");
}

}  // namespace
}  // namespace ringside::test
