// What the client sends again, and how it waits for whoever comes after a lost worker.

#include <thread>

#include "tests/client/fake_doors.h"
#include "tests/client/streams.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(AClient, sends_a_call_that_was_never_sent_again) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.unsent = 1;
  EXPECT_EQ(client->call(post("x"), {})->body, "x");
  world_.unsent = 1;
  EXPECT_EQ(start(*client, post("y"))->answer.get()->body, "y");
  EXPECT_EQ(world_.calls, 2);
  world_.unsent = 8;
  EXPECT_EQ(client->call(post("x"), {})->body, "x") << "being turned away is not what a call dies of";
  constexpr int kManyTimes = 32;
  world_.unsent = kManyTimes;
  EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable) << "but not for ever";
  world_.unsent = kManyTimes;
  EXPECT_EQ(start(*client, post("y"))->answer.get().error().code, Code::kUnavailable);
}

TEST_F(AClient, never_repeats_a_call_that_may_have_run) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.lost = true;
  EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable);
  EXPECT_EQ(start(*client, post("x"))->answer.get().error().code, Code::kUnavailable);
  EXPECT_EQ(world_.calls, 2);
}

TEST_F(AClient, marks_a_call_that_may_have_run_when_it_sends_it_again) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.unsent = 1;
  EXPECT_EQ(client->call(post("x"), {})->headers.get("retry"), "no") << "it never went";
  world_.worker_dies = 1;
  EXPECT_EQ(client->call(post("x"), {})->headers.get("retry"), "yes");
  world_.worker_dies = 1;
  EXPECT_EQ(start(*client, post("x"))->answer.get()->headers.get("retry"), "yes");
}

TEST_F(AClient, says_that_the_outcome_is_unknown_only_where_asking_again_could_do_harm) {
  const auto client = open(DoorChoice::kAuto).value();
  const std::string unsafe = R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}})";
  world_.worker_dies = 4;
  EXPECT_EQ(client->call(post(unsafe), {})->status, 502);
  world_.worker_dies = 4;
  EXPECT_EQ(start(*client, post(unsafe))->answer.get()->status, 502);
  world_.worker_dies = 4;
  EXPECT_EQ(client->call(post(R"({"jsonrpc":"2.0","id":7,"method":"ping"})"), {}).error().code, Code::kUnavailable);
  // No worker comes at all.
  EXPECT_TRUE(client->call(post("{}"), {}).ok());
  world_.worker_dies = 1;
  close_all();
  const auto answer = client->call(post(unsafe), {});
  EXPECT_NE(answer->body.find("-32010"), std::string::npos);
  EXPECT_NE(answer->body.find(R"("id":7)"), std::string::npos);
}

TEST_F(AClient, waits_for_whoever_comes_after_a_lost_worker) {
  patience_ = seconds(30);
  const auto client = open(DoorChoice::kGrpc).value();
  close_all();
  world_.worker_dies = 1;
  const auto waiting = start(*client, post("x"));
  const std::size_t tried = 3;
  while ([&] {
    const std::lock_guard lock(world_.mutex);
    return world_.tried.size() < tried;
  }()) {
    std::this_thread::yield();
  }
  open_all();
  EXPECT_TRUE(waiting->answer.get().ok());
}

TEST_F(AClient, goes_at_once_while_it_waits_for_a_worker) {
  patience_ = std::chrono::hours(1);
  auto client = open(DoorChoice::kGrpc).value();
  close_all();
  world_.worker_dies = 1;
  const auto waiting = start(*client, post("x"));
  client.reset();
  EXPECT_FALSE(waiting->answer.get().ok());
}

TEST_F(AClient, opens_a_stream_that_was_never_sent_again_and_marks_one_that_may_have_run) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.unsent = 1;
  const auto again = client->stream(post("x")).value();
  EXPECT_EQ(again->head().headers.get("retry"), "no");
  EXPECT_EQ(rest_of(*again), "x");
  world_.worker_dies = 1;
  EXPECT_EQ(client->stream(post("x")).value()->head().headers.get("retry"), "yes");
  world_.unsent = 32;
  EXPECT_EQ(client->stream(post("x")).error().code, Code::kUnavailable) << "many times more, not for ever";
  world_.lost = true;
  EXPECT_EQ(client->stream(post("x")).error().code, Code::kUnavailable);
}

TEST_F(AClient, says_of_a_stream_too_that_its_outcome_is_unknown) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.worker_dies = 4;
  const auto stream =
      client->stream(post(R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}})")).value();
  EXPECT_EQ(stream->head().status, 502);
  EXPECT_NE(rest_of(*stream).find("-32010"), std::string::npos);
}

TEST_F(AClient, refuses_a_stream_that_no_worker_would_take) {
  const auto client = open(DoorChoice::kAuto).value();
  EXPECT_EQ(client->stream(post(std::string(1001, 'x'))).value()->head().status, 413);
  Request request = post("x");
  request.headers.set("name", "a\xff");
  EXPECT_EQ(client->stream(std::move(request)).value()->head().status, 400);
  EXPECT_EQ(world_.calls, 0);
}

TEST_F(AClient, gives_a_stream_up_in_time_and_with_its_end) {
  auto client = open(DoorChoice::kAuto).value();
  world_.hang = true;
  StreamOptions options;
  options.timeout = milliseconds(50);
  EXPECT_EQ(client->stream(post("x"), options).error().code, Code::kTimeout);
  EXPECT_EQ(world_.alive, 1);
  client.reset();
  EXPECT_EQ(world_.alive, 0) << "no stream keeps its transport";
}

TEST_F(AClient, traces_a_stream_when_it_has_ended) {
  const auto client = open(DoorChoice::kGrpc).value();
  CallTrace trace;
  trace.door = DoorChoice::kAuto;
  StreamOptions options;
  options.trace = &trace;
  const auto stream = client->stream(post("x"), options).value();
  EXPECT_EQ(trace.door, DoorChoice::kAuto);
  EXPECT_EQ(rest_of(*stream), "x");
  EXPECT_EQ(trace.door, DoorChoice::kGrpc);
}

}  // namespace
}  // namespace ringside::test
