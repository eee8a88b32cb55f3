// What the client promises whatever the door: with transports that do as they are told.

#include <set>
#include <thread>

#include "tests/client/fake_doors.h"

namespace ringside::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(AClient, on_auto_takes_the_first_open_of_ring_grpc_http) {
  EXPECT_EQ(open(DoorChoice::kAuto).value()->door(), DoorChoice::kRing);
  close(DoorChoice::kRing);
  EXPECT_EQ(open(DoorChoice::kAuto).value()->door(), DoorChoice::kGrpc);
  close(DoorChoice::kGrpc, Code::kPeerLied);
  EXPECT_EQ(open(DoorChoice::kAuto).value()->door(), DoorChoice::kHttp);
  close(DoorChoice::kHttp);
  EXPECT_EQ(open(DoorChoice::kAuto).error().code, Code::kUnavailable);
  close(DoorChoice::kGrpc, Code::kDenied);
  EXPECT_EQ(open(DoorChoice::kAuto).error().code, Code::kDenied) << "says more than that nobody answers";
}

TEST_F(AClient, on_auto_gives_each_door_its_share_of_the_time) {
  close_all();
  patience_ = seconds(5);
  ASSERT_FALSE(open(DoorChoice::kAuto).ok());
  ASSERT_EQ(world_.given.size(), 3U);
  EXPECT_LE(world_.given[0], Duration(seconds(5)) / 3);
  EXPECT_LE(world_.given[1], Duration(seconds(5)) / 2);
  EXPECT_LE(world_.given[2], seconds(5));
}

TEST_F(AClient, with_a_door_named_never_falls_back_to_another) {
  for (const auto door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
    open_all();
    const auto client = open(door).value();
    EXPECT_EQ(client->door(), door);
    close(door);
    world_.tried.clear();
    EXPECT_FALSE(open(door).ok());
    world_.usable = false;
    EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable);
    EXPECT_EQ(start(*client, post("x"))->answer.get().error().code, Code::kUnavailable);
    EXPECT_EQ(std::set<DoorChoice>(world_.tried.begin(), world_.tried.end()), std::set<DoorChoice>{door});
    world_.usable = true;
  }
}

TEST_F(AClient, on_auto_chooses_again_when_its_door_is_gone) {
  const auto client = open(DoorChoice::kAuto).value();
  EXPECT_EQ(client->door(), DoorChoice::kRing);
  world_.lost = true;
  EXPECT_EQ(client->call(post("x"), {}).error().code, Code::kUnavailable);
  world_.lost = false;
  close(DoorChoice::kRing);
  EXPECT_EQ(client->call(post("y"), {})->body, "y");
  EXPECT_EQ(client->door(), DoorChoice::kGrpc);
  EXPECT_EQ(world_.alive, 1) << "the transport that is gone is let go";
}

TEST_F(AClient, answers_a_body_over_its_limit_with_413_unsent) {
  const auto client = open(DoorChoice::kAuto, 10).value();
  EXPECT_EQ(client->call(post(std::string(11, 'x')), {})->status, 413);
  EXPECT_EQ(start(*client, post(std::string(11, 'x')))->answer.get()->status, 413);
  EXPECT_EQ(client->call(post(std::string(10, 'x')), {})->status, 200);
  EXPECT_EQ(world_.calls, 1);
}

TEST_F(AClient, answers_what_no_contract_can_carry_with_400_unsent) {
  const auto client = open(DoorChoice::kAuto).value();
  const std::string latin1 = "caf\xE9";
  Request header = post("{}");
  header.headers.set("x-name", latin1);
  Request path = post("{}");
  path.path = "/" + latin1;
  Request session = post("{}");
  session.session_id = latin1;
  for (const Request& request : {header, path, session}) EXPECT_EQ(client->call(request, {})->status, 400);
  EXPECT_EQ(client->call(post(latin1), {})->body, latin1) << "a body is bytes, and the worker's to judge";
  EXPECT_EQ(world_.calls, 1);
}

TEST_F(AClient, runs_no_callback_on_the_thread_that_called) {
  const auto client = open(DoorChoice::kAuto, 10).value();
  for (const std::size_t size : {1U, 11U}) {
    std::promise<std::thread::id> where;
    const auto pending = client->call_async(post(std::string(size, 'x')), {},
                                            [&](const Answer&) { where.set_value(std::this_thread::get_id()); });
    EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
  }
}

TEST_F(AClient, fills_the_trace_before_the_answer_comes) {
  const auto client = open(DoorChoice::kAuto).value();
  CallTrace trace;
  EXPECT_TRUE(client->call(post("x"), within(seconds(1), &trace)).ok());
  EXPECT_EQ(trace.door, DoorChoice::kRing);
}

TEST_F(AClient, does_not_wait_to_connect_beyond_a_calls_deadline) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.usable = false;
  EXPECT_EQ(client->call(post("x"), within(Duration::zero())).error().code, Code::kTimeout);
  std::promise<void> hold;
  world_.hold = &hold;
  const auto slow = start(*client, post("x"));
  world_.connecting.get_future().wait();
  // Whoever comes while another connects waits for that, and no longer than it may.
  EXPECT_EQ(client->call(post("x"), within(milliseconds(20))).error().code, Code::kTimeout);
  close_all();
  hold.set_value();
  EXPECT_EQ(slow->answer.get().error().code, Code::kUnavailable);
}

TEST_F(AClient, cancels_a_call_under_way_and_one_that_waits_for_a_connection) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.hang = true;
  const auto under_way = start(*client, post("x"));
  under_way->pending->cancel();
  EXPECT_EQ(under_way->answer.get().error().code, Code::kCancelled);

  world_.usable = false;
  std::promise<void> hold;
  world_.hold = &hold;
  const auto first = start(*client, post("x"));
  world_.connecting.get_future().wait();
  const auto second = start(*client, post("x"));
  second->pending->cancel();
  first->pending->cancel();
  world_.usable = true;
  hold.set_value();
  EXPECT_EQ(first->answer.get().error().code, Code::kCancelled);
  EXPECT_EQ(second->answer.get().error().code, Code::kCancelled);
}

TEST_F(AClient, answers_everything_with_cancelled_when_it_goes) {
  std::vector<std::unique_ptr<Started>> calls;
  {
    const auto client = open(DoorChoice::kAuto).value();
    world_.hang = true;
    for (int i = 0; i < 8; ++i) calls.push_back(start(*client, post("x")));
    world_.usable = false;  // the next transport serves these, the old one stays for those above
    for (int i = 0; i < 8; ++i) calls.push_back(start(*client, post("x")));
  }
  for (const auto& call : calls) {
    ASSERT_EQ(call->answer.wait_for(seconds(0)), std::future_status::ready);
    EXPECT_EQ(call->answer.get().error().code, Code::kCancelled);
  }
  EXPECT_EQ(world_.alive, 0);
}

TEST_F(AClient, keeps_a_transport_that_is_gone_until_its_calls_have_ended) {
  const auto client = open(DoorChoice::kAuto).value();
  world_.hang = true;
  const auto old = start(*client, post("x"));
  world_.hang = false;
  world_.unsent = 1;
  EXPECT_TRUE(client->call(post("y"), {}).ok());
  EXPECT_EQ(world_.alive, 2);
  EXPECT_EQ(old->answer.wait_for(seconds(0)), std::future_status::timeout);
  old->pending->cancel();
  EXPECT_EQ(old->answer.get().error().code, Code::kCancelled);
  world_.unsent = 1;
  EXPECT_TRUE(client->call(post("y"), {}).ok());
  world_.unsent = 1;
  EXPECT_TRUE(client->call(post("y"), {}).ok());
  EXPECT_EQ(world_.alive, 1);
}

TEST_F(AClient, connects_once_for_sixty_four_threads_that_find_it_gone) {
  const auto client = open(DoorChoice::kRing).value();
  world_.unsent = 1;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 64; ++t) {
    threads.emplace_back([&, t] {
      const std::string body = std::to_string(t);
      const auto answer = t % 2 == 0 ? client->call(post(body), {}) : start(*client, post(body))->answer.get();
      if (answer.ok() && answer->body == body) ++good;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 64);
  EXPECT_EQ(world_.tried.size(), 2U);
}

TEST_F(AClient, tells_all_who_wait_when_connecting_fails) {
  const auto client = open(DoorChoice::kRing).value();
  close_all();
  world_.usable = false;
  std::atomic<int> unavailable{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      if (client->call(post("x"), {}).error().code == Code::kUnavailable) ++unavailable;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(unavailable, 16);
  open_all();
  world_.usable = true;
  EXPECT_TRUE(client->call(post("x"), {}).ok());
}

TEST(DoorNames, are_what_the_command_line_says) {
  EXPECT_EQ(to_string(DoorChoice::kAuto), "auto");
  EXPECT_EQ(to_string(DoorChoice::kRing), "ring");
  EXPECT_EQ(to_string(DoorChoice::kHandle), "handle");
  EXPECT_EQ(to_string(DoorChoice::kGrpc), "grpc");
  EXPECT_EQ(to_string(DoorChoice::kHttp), "http");
}

}  // namespace
}  // namespace ringside::test
