// What becomes of calls whose worker or supervisor dies, by every door of a real house.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <future>
#include <string>
#include <utility>

#include "tests/support/house.h"

namespace ringside::test {
namespace {

/// The builtin sleep may run twice and says so; the demo server's may not.
std::string two_sleepers() {
  return R"({"mcpServers": {"builtin": {"builtin": true}, "demo": {"command": ")" + program("demo_server") + R"("}}})";
}

/// Kills the only worker while it has a call of `tool`.
Answer answer_of_call_that_loses_its_worker(const House& house, DoorChoice door, const std::string& tool, int ms) {
  const auto client = house.client(door);
  std::promise<Answer> answered;
  client->call_async(post(R"({"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":")" + tool +
                          R"(","arguments":{"ms":)" + std::to_string(ms) + "}}}"),
                     {}, [&](Answer answer) { answered.set_value(std::move(answer)); });
  EXPECT_TRUE(eventually([&] {
    const auto now = house.status();
    return now.workers_size() == 1 && now.workers(0).report().calls_under_way() == 1;
  }));
  house.kill_worker(house.worker_pids().front());
  return answered.get_future().get();
}

TEST(House, an_unsafe_call_whose_worker_died_is_answered_with_outcome_unknown_at_every_door) {
  const House house({.config = two_sleepers(), .workers = 1});
  for (const DoorChoice door : kDoors) {
    const Answer answer = answer_of_call_that_loses_its_worker(house, door, "demo-sleep", 60'000);
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 502);
    EXPECT_EQ(
        answer->body,
        R"({"jsonrpc":"2.0","id":"q","error":{"code":-32010,"message":"Outcome unknown","data":{"outcome":"unknown"}}})")
        << to_string(door);
  }
}

TEST(House, a_call_of_a_tool_that_only_reads_is_served_again_when_its_worker_died_at_every_door) {
  const House house({.config = two_sleepers(), .workers = 1});
  for (const DoorChoice door : kDoors) {
    // Longer than the report interval that the test sees the call by.
    const Answer answer = answer_of_call_that_loses_its_worker(house, door, "builtin-sleep", 2'000);
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 200) << to_string(door) << ": " << answer->body;
  }
}

TEST(House, a_call_that_may_run_twice_does_not_fail_when_every_worker_dies) {
  for (const DoorChoice door : kDoors) {
    const House house;  // a fresh one for each door: deaths in a row would meet the supervisor's back-off
    const auto client = house.client(door);
    const std::string session = open_session(*client);
    for (const pid_t worker : house.worker_pids()) ::kill(worker, SIGKILL);
    const auto answer = client->call(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})", session));
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_TRUE(eventually([&] { return house.all_ready(); }));
  }
}

TEST(House, a_client_of_several_rings_has_as_many_again_soon_after_a_worker_died) {
  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle}) {
    const House house;
    ClientOptions options = house.client_options(door);
    options.rings = 4;
    const auto client = Client::connect(options).value();
    const auto rings = [&house] {
      std::uint32_t count = 0;
      const auto now = house.status();
      for (const auto& worker : now.workers()) count += worker.report().rings();
      return count;
    };
    ASSERT_TRUE(eventually([&] { return rings() == 4; })) << to_string(door);
    house.kill_worker(house.worker_pids().front());
    EXPECT_TRUE(eventually([&] {
      const auto answer = client->call(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"));
      EXPECT_TRUE(answer.ok() && answer->status == 200) << to_string(door);
      return rings() == 4;
    })) << to_string(door);
  }
}

TEST(House, calls_outlive_the_supervisor_and_its_sessions_too) {
  for (const DoorChoice door : kDoors) {
    House house;
    const auto client = house.client(door);
    const std::string session = open_session(*client);
    std::promise<Answer> answered;
    client->call_async(
        post(R"({"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":"sleep","arguments":{"ms":1500}}})",
             session),
        {}, [&](Answer answer) { answered.set_value(std::move(answer)); });
    ASSERT_TRUE(eventually([&] {
      const auto now = house.status();
      return std::any_of(now.workers().begin(), now.workers().end(),
                         [](const auto& worker) { return worker.report().calls_under_way() == 1; });
    }));
    house.kill_supervisor();
    const Answer answer = answered.get_future().get();
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 200) << to_string(door) << ": " << answer->body;
  }
}

}  // namespace
}  // namespace ringside::test
