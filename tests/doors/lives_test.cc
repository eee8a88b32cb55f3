// Across every planned and unplanned change of processes, calls through our clients are answered: each exactly once,
// and those that are safe to repeat never fail.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/unix_socket.h"
#include "tests/supervisor/pool.h"
#include "tests/support/house.h"

namespace ringside::test {
namespace {

std::string short_drain(const std::string& lives = {}) {
  return R"({"mcpServers": {"builtin": {"builtin": true}}, "lives": {"drainMs": 2000)" + lives + "}}";
}

/// Callers at every door who ask again as soon as they are answered, from the constructor to stop().
class Load {
 public:
  explicit Load(const House& house) : Load(house.dir()) {}
  explicit Load(const std::string& runtime_dir) {
    ClientOptions options;
    options.runtime_dir = runtime_dir;
    for (const DoorChoice door : kDoors) {
      for (int i = 0; i < kCallersPerDoor; ++i) {
        options.door = door;
        callers_.emplace_back([this, door, client = Client::connect(options).value()] { call(*client, door); });
      }
    }
  }
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void stop() {
    over_ = true;
    for (auto& caller : callers_) {
      if (caller.joinable()) caller.join();
    }
  }
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  /// Waits until so many more calls have been answered.
  [[nodiscard]] bool goes_on(std::uint64_t more) const {
    const std::uint64_t from = answered_;
    return eventually([&] { return answered_ >= from + more; });
  }

 private:
  static constexpr int kCallersPerDoor = 2;

  void call(Client& client, DoorChoice door) {
    const std::string session = open_session(client);
    for (int id = 1; !over_; ++id) {
      const std::string text = std::to_string(id);
      const std::string body = id % 3 == 0
                                   ? R"({"jsonrpc":"2.0","id":)" + text +
                                         R"(,"method":"tools/call","params":{"name":"echo","arguments":{"message":"m)" +
                                         text + R"("}}})"
                                   : R"({"jsonrpc":"2.0","id":)" + text + R"(,"method":"ping"})";
      const auto answer = client.call(post(body, session));
      if (!answer.ok()) {
        ADD_FAILURE() << to_string(door) << " call " << id << ": " << answer.error().message;
        continue;
      }
      const bool right = answer->status == 200 && answer->body.find(R"("id":)" + text + ",") != std::string::npos;
      EXPECT_TRUE(right) << to_string(door) << " call " << id << ": " << answer->status << " " << answer->body;
      ++answered_;
    }
  }

  std::atomic<bool> over_{false};
  std::atomic<std::uint64_t> answered_{0};
  std::vector<std::thread> callers_;
};

/// The sockets, held as systemd holds them: whoever serves them may die.
class HeldSockets {
 public:
  explicit HeldSockets(const std::string& dir) {
    std::filesystem::create_directory(dir);
    std::filesystem::permissions(dir, std::filesystem::perms(0750));
    for (const char* name : {"runtime", "ring", "http", "control"}) {
      const auto kind = std::string_view(name) == "ring" ? SocketKind::kSeqPacket : SocketKind::kStream;
      sockets_.push_back(listen_at(dir + "/" + name + ".sock", kind).value());
      handed_over_.push_back({name, sockets_.back().get()});
    }
  }
  [[nodiscard]] const std::vector<HandedOver>& all() const { return handed_over_; }

 private:
  std::vector<UniqueFd> sockets_;
  std::vector<HandedOver> handed_over_;
};

Finished ringside(const House& house, std::vector<std::string> arguments) {
  std::vector<std::string> argv{program("ringside"), "--runtime-dir", house.dir()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv);
}

void expect_fine(const Finished& finished) { EXPECT_EQ(finished.exit_code, 0) << finished.out << finished.err; }

bool differ(const std::vector<pid_t>& before, const std::vector<pid_t>& now) {
  return std::none_of(now.begin(), now.end(),
                      [&](pid_t pid) { return std::find(before.begin(), before.end(), pid) != before.end(); });
}

TEST(Lives, no_call_is_lost_when_workers_crash) {
  const House house({.config = short_drain()});
  Load load(house);
  for (const int signal : {SIGKILL, SIGSEGV, SIGKILL}) {
    ASSERT_TRUE(load.goes_on(50));
    const pid_t worker = house.worker_pids().front();
    ::kill(worker, signal);
    ASSERT_TRUE(eventually([&] {
      const auto pids = house.worker_pids();
      return pids.size() == 2 && std::find(pids.begin(), pids.end(), worker) == pids.end();
    }));
  }
  EXPECT_TRUE(load.goes_on(50));
}

TEST(Lives, no_call_is_lost_when_a_worker_stops_dead) {
  const House house({.config = short_drain(R"(, "stuckMs": 1500)")});
  Load load(house);
  ASSERT_TRUE(load.goes_on(50));
  const pid_t worker = house.worker_pids().front();
  ::kill(worker, SIGSTOP);
  ASSERT_TRUE(eventually([&] {
    const auto pids = house.worker_pids();
    return pids.size() == 2 && std::find(pids.begin(), pids.end(), worker) == pids.end();
  })) << house.log();
  EXPECT_TRUE(load.goes_on(50));
  load.stop();
  EXPECT_NE(house.log().find("it is stuck"), std::string::npos);
}

TEST(Lives, no_call_is_lost_while_workers_are_recycled) {
  const House house({.config = short_drain(R"(, "recycleCalls": 2000)")});
  Load load(house);
  ASSERT_TRUE(eventually(
      [&] {
        const auto now = house.status();
        return std::all_of(now.workers().begin(), now.workers().end(), [](const auto& w) { return w.restarts() >= 1; });
      },
      std::chrono::seconds(60)));
  EXPECT_TRUE(load.goes_on(50));
}

TEST(Lives, no_call_is_lost_across_twenty_reloads) {
  const House house({.config = short_drain()});
  Load load(house);
  ASSERT_TRUE(load.goes_on(50));
  for (int i = 0; i < 20; ++i) expect_fine(ringside(house, {"reload"}));
  EXPECT_TRUE(load.goes_on(50));
  load.stop();
  EXPECT_EQ(house.status().generation(), 21U);
}

TEST(Lives, no_call_is_lost_across_upgrades_and_the_process_stays) {
  const House house({.config = short_drain()});
  Load load(house);
  ASSERT_TRUE(load.goes_on(50));
  const pid_t before = house.status().pid();
  for (std::uint32_t i = 1; i <= 3; ++i) {
    const auto workers = house.worker_pids();
    expect_fine(ringside(house, {"upgrade"}));
    EXPECT_TRUE(differ(workers, house.worker_pids()));
    EXPECT_EQ(house.status().upgrades(), i);
  }
  EXPECT_TRUE(load.goes_on(50));
  load.stop();
  EXPECT_EQ(house.status().pid(), before);
}

TEST(Lives, no_call_is_lost_when_workers_come_and_go_by_an_operators_word) {
  const House house({.config = short_drain()});
  Load load(house);
  ASSERT_TRUE(load.goes_on(50));
  expect_fine(ringside(house, {"workers", "4"}));
  EXPECT_EQ(house.worker_pids().size(), 4U);
  expect_fine(ringside(house, {"worker", "drain", "0"}));
  EXPECT_EQ(house.worker_pids().size(), 3U);
  expect_fine(ringside(house, {"worker", "restart", "0"}));
  expect_fine(ringside(house, {"worker", "restart", "1"}));
  expect_fine(ringside(house, {"workers", "2"}));
  EXPECT_EQ(house.worker_pids().size(), 2U);
  EXPECT_TRUE(load.goes_on(50));
}

TEST(Lives, no_call_is_lost_when_the_supervisor_dies_and_another_gets_its_sockets) {
  const TempDir folder;
  const std::string dir = folder.file("run");
  write_file(folder.file("ringside.json"), short_drain());
  const HeldSockets sockets(dir);
  const auto start = [&] {
    auto options = as_systemd({program("ringsided"), "--config", folder.file("ringside.json"), "--runtime-dir", dir},
                              {}, sockets.all());
    options.stderr_path = folder.file("log");
    return std::make_unique<Process>(options);
  };
  auto supervisor = start();
  Load load(dir);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(load.goes_on(50));
    supervisor->signal(SIGKILL);
    supervisor->wait();
    supervisor = start();
  }
  EXPECT_TRUE(load.goes_on(50)) << read_file(folder.file("log"));
  load.stop();
  supervisor->signal(SIGTERM);
  EXPECT_EQ(supervisor->wait(), 0);
}

TEST(Lives, a_call_that_may_run_once_only_is_answered_across_a_reload) {
  const House house({.config = R"({"mcpServers": {"demo": {"command": ")" + program("demo_server") +
                               R"("}}, "lives": {"drainMs": 4000}})"});
  std::atomic<bool> over{false};
  std::vector<std::thread> callers;
  for (const DoorChoice door : kDoors) {
    callers.emplace_back([&house, &over, door] {
      const auto client = house.client(door);
      while (!over) {
        // The demo server's sleep says nothing of being safe to repeat.
        const auto answer = client->call(
            post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":5}}})"));
        EXPECT_TRUE(answer.ok() && answer->status == 200)
            << to_string(door) << ": " << (answer.ok() ? answer->body : std::string(answer.error().message));
      }
    });
  }
  for (int i = 0; i < 5; ++i) expect_fine(ringside(house, {"reload"}));
  over = true;
  for (auto& caller : callers) caller.join();
}

TEST(Lives, a_long_call_on_a_worker_that_drains_holds_up_no_other_of_its_client) {
  constexpr auto kNotHeldUp = std::chrono::milliseconds(1500);  // about a second, on a machine that is busy
  const House house(
      {.config = R"({"mcpServers": {"builtin": {"builtin": true}}, "lives": {"drainMs": 20000}})", .workers = 1});
  std::vector<std::shared_ptr<Client>> clients;
  std::vector<std::future<Answer>> long_answers;
  for (const DoorChoice door : kDoors) {
    clients.push_back(house.client(door));
    auto answered = std::make_shared<std::promise<Answer>>();
    long_answers.push_back(answered->get_future());
    clients.back()->call_async(
        post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":3000}}})"), {},
        [answered](Answer answer) { answered->set_value(std::move(answer)); });
  }
  ASSERT_TRUE(eventually([&] { return house.status().workers(0).report().calls_under_way() == std::size(kDoors); }));
  std::thread reload([&] { expect_fine(ringside(house, {"reload"})); });
  for (std::size_t i = 0; i < clients.size(); ++i) {
    do {
      const auto answer =
          clients[i]->call(post(R"({"jsonrpc":"2.0","id":2,"method":"ping"})"), {.timeout = kNotHeldUp});
      EXPECT_TRUE(answer.ok() && answer->status == 200)
          << to_string(kDoors[i]) << ": " << (answer.ok() ? answer->body : std::string(answer.error().message));
    } while (long_answers[i].wait_for(std::chrono::seconds(0)) != std::future_status::ready);
    const Answer answer = long_answers[i].get();
    EXPECT_TRUE(answer.ok() && answer->status == 200) << to_string(kDoors[i]);
  }
  reload.join();
}

TEST(Lives, a_call_that_outlasts_its_workers_drain_is_not_run_twice) {
  const House house({.config = R"({"mcpServers": {"demo": {"command": ")" + program("demo_server") +
                               R"("}}, "lives": {"drainMs": 300}})",
                     .workers = 1});
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    std::promise<Answer> answered;
    client->call_async(
        post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":60000}}})"),
        {}, [&](Answer answer) { answered.set_value(std::move(answer)); });
    ASSERT_TRUE(eventually([&] {
      const auto now = house.status();
      return now.workers_size() == 1 && now.workers(0).report().calls_under_way() == 1;
    }));
    expect_fine(ringside(house, {"reload"}));
    const Answer answer = answered.get_future().get();
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 502) << to_string(door);
    EXPECT_NE(answer->body.find("-32010"), std::string::npos) << to_string(door) << ": " << answer->body;
    ASSERT_TRUE(eventually([&] { return house.status().workers_size() == 1; }));
    EXPECT_EQ(house.status().workers(0).report().calls_under_way(), 0U) << to_string(door) << ": it runs again";
  }
}

/// The whole of a streamed answer; what went wrong instead of it.
std::string streamed(Client& client, Request request) {
  const auto stream = client.stream(std::move(request));
  if (!stream.ok()) return std::string(stream.error().message);
  std::string whole;
  while (true) {
    auto piece = (*stream)->read();
    if (!piece.ok()) return std::string(piece.error().message);
    if (!*piece) return whole;
    whole += **piece;
  }
}

TEST(Lives, a_streamed_answer_is_not_lost_to_a_reload) {
  const House house({.config = short_drain()});
  std::atomic<bool> over{false};
  std::vector<std::thread> callers;
  for (const DoorChoice door : kDoors) {
    callers.emplace_back([&house, &over, door] {
      const auto client = house.client(door);
      while (!over) {
        const std::string answer = streamed(*client, post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"));
        EXPECT_NE(answer.find(R"("result":{})"), std::string::npos) << to_string(door) << ": " << answer;
      }
    });
  }
  for (int i = 0; i < 5; ++i) expect_fine(ringside(house, {"reload"}));
  over = true;
  for (auto& caller : callers) caller.join();
}

TEST(Lives, a_crash_report_names_the_calls_that_were_under_way) {
  const House house({.workers = 1});
  const auto client = house.client(DoorChoice::kHttp);
  Request request =
      post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":3000}}})");
  request.headers.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  std::promise<void> answered;
  client->call_async(std::move(request), {}, [&](const Answer& /*answer*/) { answered.set_value(); });
  ASSERT_TRUE(eventually([&] { return house.status().workers(0).report().calls_under_way() == 1; }));
  const pid_t worker = house.worker_pids().front();
  ::kill(worker, SIGABRT);  // and not SIGSEGV, of which a sanitizer makes an exit code
  ASSERT_TRUE(eventually([&] { return house.status().workers(0).last_crash().pid() == worker; }));
  const auto crash = house.status().workers(0).last_crash();
  EXPECT_EQ(crash.exit().substr(0, 8), "signal 6");
  ASSERT_EQ(crash.calls_size(), 1);
  EXPECT_EQ(crash.calls(0).method(), "tools/call");
  EXPECT_EQ(crash.calls(0).door(), "http");
  EXPECT_EQ(crash.calls(0).trace(), "4bf92f3577b34da6a3ce929d0e0e4736");
  answered.get_future().wait();
}

TEST(Overload, a_call_too_many_gets_the_same_answer_at_every_door) {
  const House house(
      {.config = R"({"mcpServers": {"builtin": {"builtin": true}}, "limits": {"callsPerWorker": 1}})", .workers = 1});
  const auto busy = house.client(DoorChoice::kHttp);
  std::promise<Answer> answered;
  const auto call = busy->call_async(
      post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":3000}}})"), {},
      [&](Answer answer) { answered.set_value(std::move(answer)); });
  ASSERT_TRUE(eventually([&] { return house.status().workers(0).report().calls_under_way() == 1; }));
  for (const DoorChoice door : kDoors) {
    const auto answer = house.client(door)->call(post(R"({"jsonrpc":"2.0","id":2,"method":"ping"})"));
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 429) << to_string(door);
    EXPECT_EQ(answer->headers.get("retry-after"), "1") << to_string(door);
    EXPECT_EQ(answer->body, R"({"detail":"Too many calls under way"})") << to_string(door);
  }
  EXPECT_TRUE(eventually([&] { return house.status().workers(0).report().calls_refused() == 4; }));
  call->cancel();
  answered.get_future().wait();
  EXPECT_TRUE(eventually([&] {
    const auto answer = busy->call(post(R"({"jsonrpc":"2.0","id":3,"method":"ping"})"));
    return answer.ok() && answer->status == 200;
  }));
}

}  // namespace
}  // namespace ringside::test
