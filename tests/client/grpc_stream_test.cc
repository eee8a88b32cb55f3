// Streams through the gRPC door of the client library, against a worker of this process.

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "client/cpp/client.h"
#include "tests/client/calls.h"
#include "tests/client/fake_worker.h"
#include "tests/client/streams.h"
#include "tests/support/process.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kEvents = "text/event-stream";

class GrpcStream : public testing::Test {
 protected:
  /// A worker; each stream that comes is handed to the test.
  std::unique_ptr<FakeWorker> worker() {
    auto worker = std::make_unique<FakeWorker>(folder_.file("runtime.sock"), echo);
    worker->set_streaming([this](Request request, std::shared_ptr<Streamed> streamed) {
      request_ = std::move(request);
      came_.put(std::move(streamed));
    });
    return worker;
  }
  std::shared_ptr<Client> client() const {
    ClientOptions options;
    options.runtime_dir = folder_.path();
    options.door = DoorChoice::kGrpc;
    return Client::connect(options).value();
  }
  /// A stream whose worker has sent its head.
  std::shared_ptr<Stream> open(const std::shared_ptr<Client>& client, StreamOptions options = {}) {
    auto opening = std::async(std::launch::async, [&] { return client->stream(get(), options); });
    streamed_ = came_.next();
    streamed_->write(chunk_of({}, 200, kEvents));
    return opening.get().value();
  }

  TempDir folder_;
  Request request_;
  Handover<std::shared_ptr<Streamed>> came_;
  std::shared_ptr<Streamed> streamed_;
};

TEST_F(GrpcStream, pieces_come_as_the_worker_sends_them) {
  const auto served = worker();
  const auto client = this->client();
  CallTrace trace;
  StreamOptions options;
  options.trace = &trace;
  const auto stream = open(client, options);
  EXPECT_EQ(request_.method, "GET");
  EXPECT_EQ(request_.session_id, "s");
  EXPECT_EQ(stream->head().status, 200);
  EXPECT_EQ(stream->head().headers.get("content-type"), kEvents);
  for (const std::string piece : {"one", "two"}) {
    streamed_->write(chunk_of(piece));
    EXPECT_EQ(**stream->read(), piece);
  }
  EXPECT_EQ(stream->read(in(milliseconds(20))).error().code, Code::kTimeout) << "and it goes on";
  streamed_->write(last_chunk("three"));
  streamed_->finish(grpc::Status::OK);
  EXPECT_EQ(rest_of(*stream), "three");
  EXPECT_EQ(trace.door, DoorChoice::kGrpc);
  EXPECT_EQ(served->rpcs(), std::vector<std::string>{"InvokeStream"});
}

TEST_F(GrpcStream, a_worker_that_says_no_more_than_the_first_contract_is_understood) {
  const auto served = worker();
  const auto client = this->client();
  auto opening = std::async(std::launch::async, [&] { return client->stream(get()); });
  auto streamed = came_.next();
  streamed->write(chunk_of("data: 1\n\n"));
  streamed->write(chunk_of("data: 2\n\n"));
  streamed->write(last_chunk());
  streamed->finish(grpc::Status::OK);
  const auto stream = opening.get().value();
  EXPECT_EQ(stream->head().status, 200);
  EXPECT_EQ(stream->head().headers.get("content-type"), kEvents);
  EXPECT_EQ(rest_of(*stream), "data: 1\n\ndata: 2\n\n");

  auto refused = std::async(std::launch::async, [&] { return client->stream(get()); });
  streamed = came_.next();
  streamed->write(last_chunk(R"({"detail":"Session not found"})", 404));
  streamed->finish(grpc::Status::OK);
  const auto no = refused.get().value();
  EXPECT_EQ(no->head().status, 404);
  EXPECT_EQ(rest_of(*no), R"({"detail":"Session not found"})");
}

TEST_F(GrpcStream, one_that_ends_without_a_chunk_is_no_answer_of_status_0) {
  const auto served = worker();
  const auto client = this->client();
  auto opening = std::async(std::launch::async, [&] { return client->stream(get()); });
  came_.next()->finish(grpc::Status::OK);
  const auto stream = opening.get();
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ((*stream)->head().status, 200);
  EXPECT_EQ(rest_of(**stream), "");
}

TEST_F(GrpcStream, a_slow_reader_holds_its_worker_up_and_loses_nothing) {
  const auto served = worker();
  const auto client = this->client();
  const auto stream = open(client);
  std::string sent;
  for (int i = 0; i < 300; ++i) {
    sent += std::string(100'000, static_cast<char>('a' + i % 26));
    streamed_->write(chunk_of(std::string(100'000, static_cast<char>('a' + i % 26))));
  }
  streamed_->write(last_chunk());
  streamed_->finish(grpc::Status::OK);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(client->call(post("x")).ok()) << "nobody else is held up";
  EXPECT_LT(streamed_->written(), 300);
  EXPECT_TRUE(rest_of(*stream) == sent);
}

TEST_F(GrpcStream, a_cancelled_one_ends_for_its_reader_and_for_the_worker) {
  const auto served = worker();
  const auto client = this->client();
  const auto stream = open(client);
  std::thread canceller([&] { stream->cancel(); });
  EXPECT_EQ(stream->read().error().code, Code::kCancelled);
  canceller.join();
  EXPECT_TRUE(becomes_true([&] { return served->cancelled() == 1; }));
}

TEST_F(GrpcStream, one_that_is_dropped_unread_leaves_nothing) {
  const auto served = worker();
  const auto client = this->client();
  CallTrace trace;
  StreamOptions options;
  options.trace = &trace;
  auto stream = open(client, options);
  for (int i = 0; i < 50; ++i) streamed_->write(chunk_of(std::string(100'000, 'x')));
  stream.reset();
  trace.ring = 12345;  // nobody writes there any more
  EXPECT_TRUE(becomes_true([&] { return served->cancelled() == 1; }));
  EXPECT_TRUE(client->call(post("x")).ok());
  EXPECT_EQ(trace.ring, 12345U);
}

TEST_F(GrpcStream, its_timeout_is_of_all_of_it) {
  const auto served = worker();
  const auto client = this->client();
  StreamOptions options;
  options.timeout = milliseconds(300);
  EXPECT_EQ(client->stream(get(), options).error().code, Code::kTimeout) << "no head came";
  (void)came_.next();
  const auto stream = open(client, options);
  streamed_->write(chunk_of("x"));
  EXPECT_EQ(**stream->read(), "x");
  EXPECT_EQ(stream->read().error().code, Code::kTimeout);
}

TEST_F(GrpcStream, one_that_was_cut_off_says_that_it_was_read_too_slowly) {
  const auto served = worker();
  const auto client = this->client();
  const auto stream = open(client);
  streamed_->write(chunk_of("good"));
  streamed_->finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "the stream was read too slowly"});
  EXPECT_EQ(**stream->read(), "good");
  EXPECT_EQ(stream->read().error().code, Code::kFull);
}

TEST_F(GrpcStream, a_worker_that_dies_before_the_head_is_replaced_and_after_it_is_missed) {
  auto served = worker();
  const auto client = this->client();
  auto opening = std::async(std::launch::async, [&] { return client->stream(get()); });
  (void)came_.next();
  served.reset();
  served = worker();
  streamed_ = came_.next();
  EXPECT_TRUE(request_.retry);
  streamed_->write(chunk_of("good", 200, kEvents));
  const auto stream = opening.get().value();
  EXPECT_EQ(**stream->read(), "good");
  served.reset();
  EXPECT_EQ(stream->read().error().code, Code::kUnavailable);
}

TEST_F(GrpcStream, what_is_sent_again_keeps_its_deadline) {
  auto served = worker();
  const auto client = this->client();
  StreamOptions options;
  options.timeout = seconds(1);
  auto opening = std::async(std::launch::async, [&] { return client->stream(get(), options); });
  (void)came_.next();
  served.reset();
  served = worker();
  streamed_ = came_.next();
  streamed_->write(chunk_of({}, 200, kEvents));
  const auto stream = opening.get().value();
  EXPECT_EQ(stream->read(in(seconds(30))).error().code, Code::kTimeout);
  EXPECT_TRUE(becomes_true([&] { return served->cancelled() == 1; })) << "of the call itself";
}

TEST_F(GrpcStream, the_end_of_its_client_ends_it) {
  const auto served = worker();
  auto client = this->client();
  const auto stream = open(client);
  const auto unread = open(client);
  for (int i = 0; i < 50; ++i) streamed_->write(chunk_of(std::string(100'000, 'x')));
  client.reset();
  EXPECT_FALSE(stream->read().ok());
  stream->cancel();
}

TEST_F(GrpcStream, a_worker_without_streams_is_an_error_and_no_answer) {
  FakeWorker served(folder_.file("runtime.sock"), echo);
  EXPECT_FALSE(client()->stream(get()).ok());
}

TEST_F(GrpcStream, a_post_goes_with_its_body) {
  const auto served = worker();
  const auto client = this->client();
  auto opening = std::async(std::launch::async, [&] { return client->stream(post("{}")); });
  const auto streamed = came_.next();
  EXPECT_EQ(request_.method, "POST");
  EXPECT_EQ(request_.body, "{}");
  auto only = chunk_of("{}", 200, "application/json");
  only.set_done(true);
  streamed->write(only);
  streamed->finish(grpc::Status::OK);
  const auto stream = opening.get().value();
  EXPECT_EQ(stream->head().headers.get("content-type"), "application/json");
  EXPECT_EQ(rest_of(*stream), "{}");
}

TEST_F(GrpcStream, a_request_over_the_limit_is_refused_as_a_call_is) {
  const auto served = worker();
  const auto stream = client()->stream(post(std::string((64U << 20U) + 1, 'x'))).value();
  EXPECT_EQ(stream->head().status, 413);
  EXPECT_TRUE(served->rpcs().empty());
}

}  // namespace
}  // namespace ringside::test
