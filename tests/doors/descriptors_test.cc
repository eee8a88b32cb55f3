// File descriptors that run out, for real: a worker has no number free. It loses what it has no number for, and nobody
// else notices.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <set>
#include <string>

#include "tests/supervisor/pool.h"
#include "tests/support/house.h"

namespace ringside::test {
namespace {

/// No number is free in a process while this lives.
class NoneFree {
 public:
  explicit NoneFree(pid_t pid) : pid_(pid) {
    std::set<rlim_t> taken;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
      taken.insert(std::stoul(entry.path().filename()));
    }
    rlim_t first_free = 0;
    while (taken.contains(first_free)) ++first_free;
    EXPECT_EQ(::prlimit(pid_, RLIMIT_NOFILE, nullptr, &usual_), 0);
    const rlimit low{first_free, usual_.rlim_max};
    EXPECT_EQ(::prlimit(pid_, RLIMIT_NOFILE, &low, nullptr), 0);
  }
  ~NoneFree() { EXPECT_EQ(::prlimit(pid_, RLIMIT_NOFILE, &usual_, nullptr), 0); }
  NoneFree(const NoneFree&) = delete;
  NoneFree& operator=(const NoneFree&) = delete;

 private:
  const pid_t pid_;
  rlimit usual_{};
};

void expect_served(Client& client) {
  const Answer answer = client.call(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
}

TEST(Descriptors, a_worker_without_any_loses_new_connections_and_nothing_else) {
  const House house({.workers = 1});
  const pid_t worker = house.worker_pids().front();
  const auto http = house.client(DoorChoice::kHttp);
  const auto ring = house.client(DoorChoice::kRing);
  expect_served(*http);
  expect_served(*ring);
  {
    const NoneFree poor(worker);
    EXPECT_EQ(Peer::to(house.socket("http.sock")).rest(), "") << "it is closed, and its client may try again";
    ClientOptions options = house.client_options(DoorChoice::kRing);
    options.connect_timeout = std::chrono::milliseconds(500);
    const auto late = Client::connect(options);
    ASSERT_FALSE(late.ok());
    EXPECT_EQ(late.error().code, Code::kUnavailable) << "and not: refused for good";
    expect_served(*http);
    expect_served(*ring);
  }
  expect_served(*house.client(DoorChoice::kRing));
  EXPECT_EQ(house.worker_pids().front(), worker);
}

TEST(Descriptors, a_worker_started_while_its_supervisor_had_few_has_as_many_as_it_may) {
  const House house({.workers = 1});
  rlimit usual{};
  ASSERT_EQ(::prlimit(house.pid(), RLIMIT_NOFILE, nullptr, &usual), 0);
  const rlimit low{128, usual.rlim_max};
  ASSERT_EQ(::prlimit(house.pid(), RLIMIT_NOFILE, &low, nullptr), 0);
  house.kill_worker(house.worker_pids().front());
  rlimit of_worker{};
  ASSERT_EQ(::prlimit(house.worker_pids().front(), RLIMIT_NOFILE, nullptr, &of_worker), 0);
  EXPECT_EQ(of_worker.rlim_cur, usual.rlim_max);
}

}  // namespace
}  // namespace ringside::test
