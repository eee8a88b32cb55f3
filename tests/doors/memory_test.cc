// Memory that runs out, for real: one process of a house, or a client of it, is in a memory cgroup that is too small
// for what it does. The kernel refuses it or kills it. Either way nobody else notices, and no call is lost.

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/house.h"
#include "tests/support/memory_group.h"

namespace ringside::test {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kLittle = 24 * kMiB;  // a few rings
constexpr const char* kNoGroup =
    "no memory cgroup can be made here: this takes a memory controller that is ours to write";

/// As `house`'s worker said in its last report.
std::uint64_t polite_refusals(const House& house) {
  std::uint64_t count = 0;
  const auto now = house.status();
  for (const auto& worker : now.workers()) {
    const auto& refusals = worker.report().ring_refusals();
    const auto at = refusals.find("no_memory");
    if (at != refusals.end()) count += at->second;
  }
  return count;
}

void expect_served(Client& client) {
  const Answer answer = client.call(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->body, R"({"jsonrpc":"2.0","id":1,"result":{}})");
}

bool lives(const House& house, pid_t worker) {
  const auto pids = house.worker_pids();
  return std::find(pids.begin(), pids.end(), worker) != pids.end();
}

TEST(Memory, a_worker_without_any_for_another_ring_costs_no_client_its_call) {
  auto group = MemoryGroup::make(kLittle);
  if (!group) GTEST_SKIP() << kNoGroup;
  const House house;
  const pid_t poor = house.worker_pids().front();
  ASSERT_TRUE(group->take(poor));
  std::vector<std::shared_ptr<Client>> clients;
  constexpr std::size_t kMostRings = 60;
  while (clients.size() < kMostRings && lives(house, poor) && polite_refusals(house) == 0) {
    clients.push_back(house.client(DoorChoice::kRing));
    ASSERT_NE(clients.back(), nullptr);
    for (const auto& client : clients) expect_served(*client);
  }
  EXPECT_LT(clients.size(), kMostRings) << "it ran out";
  EXPECT_GT(group->failures(), 0U);
  for (const auto& client : clients) expect_served(*client);
  EXPECT_TRUE(eventually([&] { return house.all_ready(); }));
  std::printf("%zu rings; the kernel killed %llu\n", clients.size(), static_cast<unsigned long long>(group->kills()));
}

TEST(Memory, bodies_that_a_worker_has_none_for_are_served_by_another) {
  auto group = MemoryGroup::make(kLittle);
  if (!group) GTEST_SKIP() << kNoGroup;
  const House house;
  const pid_t poor = house.worker_pids().front();
  // Rings go to the worker that has the least to do: with one each, both have one.
  const auto first = house.client(DoorChoice::kRing);
  const auto second = house.client(DoorChoice::kRing);
  ASSERT_TRUE(first != nullptr && second != nullptr);
  ASSERT_TRUE(group->take(poor));
  const std::string text(16 * kMiB, 'x');
  const std::string call = R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":)"
                           R"({"message":")" +
                           text + R"("}}})";
  for (int round = 0; round < 20 && lives(house, poor); ++round) {
    std::vector<std::future<Answer>> answers;
    for (const auto& client : {first, second, first, second}) {
      auto answered = std::make_shared<std::promise<Answer>>();
      answers.push_back(answered->get_future());
      client->call_async(post(call), {}, [answered](Answer answer) { answered->set_value(std::move(answer)); });
    }
    for (auto& each : answers) {
      const Answer answer = each.get();
      ASSERT_TRUE(answer.ok()) << answer.error().message;
      ASSERT_EQ(answer->status, 200) << answer->body.substr(0, 200);
      EXPECT_NE(answer->body.find(text), std::string::npos);
    }
  }
  EXPECT_FALSE(lives(house, poor)) << "it ran out";
  EXPECT_GT(group->failures(), 0U);
  EXPECT_TRUE(eventually([&] { return house.all_ready(); }));
  expect_served(*first);
  expect_served(*second);
}

TEST(Memory, a_client_without_any_for_another_ring_harms_itself_only) {
  auto group = MemoryGroup::make(kLittle);
  if (!group) GTEST_SKIP() << kNoGroup;
  const House house;
  const auto honest = house.client(DoorChoice::kRing);
  ASSERT_NE(honest, nullptr);
  const std::vector<pid_t> workers = house.worker_pids();
  const auto rings = [&house] {
    std::uint32_t count = 0;
    const auto now = house.status();
    for (const auto& worker : now.workers()) count += worker.report().rings();
    return count;
  };
  ASSERT_TRUE(eventually([&] { return rings() == 1; }));
  Process poor({.argv = {program("ring_hoarder"), house.dir(), group->members()}});
  int code = -1;
  while ((code = poor.wait(std::chrono::milliseconds(0))) < 0) expect_served(*honest);
  EXPECT_TRUE(code == 0 || code == 128 + SIGKILL) << "it was refused, or killed: " << code;
  EXPECT_GT(group->failures(), 0U);
  EXPECT_TRUE(eventually([&] { return rings() == 1; })) << "nothing of its is left";
  EXPECT_EQ(house.worker_pids(), workers);
  expect_served(*honest);
}

}  // namespace
}  // namespace ringside::test
