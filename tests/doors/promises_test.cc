// What a whole Ringside promises beyond single answers: bytes, sockets, connections, deaths.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "mcp/envelope.h"
#include "tests/doors/recording_server.h"
#include "tests/support/house.h"

namespace ringside::test {
namespace {

const char* const kDoorNames[] = {"ring", "handle", "grpc", "http"};

Finished ringside_call(const House& house, std::vector<std::string> arguments) {
  std::vector<std::string> argv = {program("ringside"), "call", "--runtime-dir", house.dir()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv);
}

std::string echo(const std::string& message) {
  return R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":")" + message +
         R"("}}})";
}

TEST(House, the_command_prints_the_same_bytes_for_every_door) {
  const RecordingServer demo;
  const House house({.config = with_http_upstream(demo.url())});
  const std::string odd = R"({"b":1e2,"a":12345678901234567890,"id":"1"})";
  for (const std::string& arguments : {std::string(R"({"message":"hi"})"), odd}) {
    std::set<std::string> answers;
    for (const char* door : kDoorNames) {
      const auto done =
          ringside_call(house, {"tools/call", R"({"name":"echo","arguments":)" + arguments + "}", "--door", door});
      EXPECT_FALSE(done.out.empty()) << done.err;
      answers.insert(done.out);
    }
    EXPECT_EQ(answers.size(), 1U);
  }
  std::size_t unchanged = 0;
  const std::string requests = demo.requests();
  for (auto at = requests.find(odd); at != std::string::npos; at = requests.find(odd, at + 1)) ++unchanged;
  EXPECT_EQ(unchanged, std::size(kDoorNames)) << requests;
}

TEST(House, a_body_of_65_mib_is_too_large_at_every_door) {
  const House house;
  for (const DoorChoice door : kDoors) {
    auto options = house.client_options(door);
    options.max_body_bytes = 128 << 20;
    const auto client = Client::connect(options).value();
    const auto answer = client->call(post(std::string(65 << 20, ' ')));
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 413) << to_string(door);
  }
}

TEST(House, a_session_made_at_one_worker_is_served_by_every_worker) {
  const House house;
  const auto opener = house.client(DoorChoice::kRing);
  const std::string session = open_session(*opener);
  std::set<int> pids;
  for (int i = 0; i < 16 && pids.size() < 2; ++i) {
    const auto client = house.client(DoorChoice::kRing);
    CallTrace trace;
    CallOptions options;
    options.trace = &trace;
    const auto answer = client->call(post(echo("hi"), session), options);
    ASSERT_TRUE(answer.ok() && answer->status == 200) << answer->body;
    pids.insert(trace.worker_pid);
  }
  EXPECT_EQ(pids.size(), 2U);
}

TEST(House, a_session_that_ended_at_one_worker_has_ended_at_all) {
  const House house;
  const auto first = house.client(DoorChoice::kRing);
  const auto second = house.client(DoorChoice::kRing);
  for (int round = 0; round < 20; ++round) {
    const std::string session = open_session(*first);
    ASSERT_EQ(second->call(post(echo("warm the cache"), session))->status, 200);
    Request end = post("", session);
    end.method = "DELETE";
    EXPECT_LT(first->call(end)->status, 300);
    EXPECT_EQ(second->call(post(echo("late"), session))->status, 404);
  }
}

TEST(House, a_killed_workers_session_is_served_by_another_pid) {
  const House house;
  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
    const auto client = house.client(door);
    const std::string session = open_session(*client);
    CallTrace trace;
    CallOptions options;
    options.trace = &trace;
    ASSERT_EQ(client->call(post(echo("before"), session), options)->status, 200);
    // gRPC and HTTP do not tell who served: there every worker of before dies.
    const std::vector<pid_t> victims =
        trace.worker_pid != 0 ? std::vector<pid_t>{trace.worker_pid} : house.worker_pids();
    for (const pid_t victim : victims) house.kill_worker(victim);
    const auto answer = client->call(post(echo("after"), session), options);
    ASSERT_TRUE(answer.ok()) << to_string(door) << ": " << answer.error().message;
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_EQ(std::count(victims.begin(), victims.end(), trace.worker_pid), 0);
  }
}

TEST(House, several_rings_of_one_client_are_spread_over_the_workers) {
  const House house({.workers = 3});
  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle}) {
    ClientOptions options = house.client_options(door);
    options.rings = 6;
    const auto client = Client::connect(options).value();
    std::map<int, int> calls;
    for (int i = 0; i < 60; ++i) {
      CallTrace trace;
      const auto answer = client->call(post(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"), {.trace = &trace});
      ASSERT_TRUE(answer.ok()) << answer.error().message;
      ++calls[trace.worker_pid];
    }
    EXPECT_EQ(calls.size(), 3U) << to_string(door);
    for (const auto& [pid, count] : calls) EXPECT_EQ(count, 20) << "two rings each";
  }
}

TEST(House, sockets_stay_the_same_files_while_workers_die) {
  const House house;
  const auto inodes = [&] {
    std::vector<ino_t> out;
    for (const char* name : {"runtime.sock", "ring.sock", "http.sock", "control.sock"}) {
      struct stat info {};
      EXPECT_EQ(::stat(house.socket(name).c_str(), &info), 0) << name;
      EXPECT_EQ(info.st_mode & 0777U, 0660U) << name;
      out.push_back(info.st_ino);
    }
    return out;
  };
  const auto before = inodes();
  for (const pid_t worker : house.worker_pids()) house.kill_worker(worker);
  EXPECT_EQ(inodes(), before);
}

TEST(House, every_worker_gets_calls_from_grpc_clients) {
  const House house;
  std::vector<std::shared_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(house.client(DoorChoice::kGrpc));
  for (int i = 0; i < 40; ++i) ASSERT_EQ(clients[static_cast<std::size_t>(i) % 4]->call(post(echo("x")))->status, 200);
  EXPECT_TRUE(eventually([&] {
    const auto status = house.status();
    return std::all_of(status.workers().begin(), status.workers().end(),
                       [](const auto& worker) { return worker.report().calls() > 0; });
  }));
}

std::size_t connections_of(pid_t pid) {
  std::size_t sockets = 0;
  std::error_code error;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    if (std::filesystem::read_symlink(fd, error).string().starts_with("socket:")) ++sockets;
  }
  return sockets;
}

TEST(House, a_thousand_calls_open_no_more_upstream_connections_than_the_pool_holds) {
  const RecordingServer demo;
  const House house(
      {.config = with_http_upstream(demo.url(), R"(, "limits": {"upstreamConnections": 3})"), .workers = 1});
  const auto client = house.client(DoorChoice::kRing);
  const std::size_t idle = connections_of(demo.pid());
  std::atomic<int> left{1000};
  std::atomic<int> good{0};
  std::promise<void> all;
  for (int i = 0; i < 1000; ++i) {
    client->call_async(post(echo(std::to_string(i))), {}, [&](Answer answer) {
      if (answer.ok() && answer->status == 200) ++good;
      if (--left == 0) all.set_value();
    });
  }
  std::size_t most = 0;
  auto done = all.get_future();
  while (done.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) {
    most = std::max(most, connections_of(demo.pid()) - idle);
  }
  EXPECT_EQ(good, 1000);
  EXPECT_GE(most, 1U);
  EXPECT_LE(most, 3U);
}

TEST(House, the_peers_segment_is_mapped_to_read_only) {
  const House house({.workers = 1});
  const auto client = house.client(DoorChoice::kRing);
  ASSERT_EQ(client->call(post(echo("hi")))->status, 200);
  const auto segments = [](const std::string& pid) {
    std::map<std::string, int> modes;
    std::istringstream maps(read_file("/proc/" + pid + "/maps"));
    for (std::string line; std::getline(maps, line);) {
      if (line.find("memfd:ringside") != std::string::npos) ++modes[line.substr(line.find(' ') + 1, 4)];
    }
    return modes;
  };
  for (const std::string& pid : {std::string("self"), std::to_string(house.worker_pids().front())}) {
    const auto modes = segments(pid);
    EXPECT_EQ(modes.count("r--s"), 1U) << pid;
    EXPECT_EQ(modes.count("rw-s"), 1U) << pid;
    EXPECT_EQ(modes.size(), 2U) << pid;
  }
}

/// Bytes that a straced process wrote to sockets, from the `write(3<socket:[9]>, …) = N` lines of strace -y. A call
/// that another thread interrupted names no descriptor where it ends, so it counts.
std::uint64_t bytes_to_sockets(const std::string& trace) {
  std::uint64_t sum = 0;
  std::istringstream lines(trace);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("<socket:") == std::string::npos && line.find("resumed>") == std::string::npos) continue;
    const auto result = line.rfind(") = ");
    if (result != std::string::npos && line[result + 4] != '-')
      sum += std::strtoull(line.c_str() + result + 4, nullptr, 10);
  }
  return sum;
}

TEST(House, a_mebibyte_through_the_ring_writes_no_body_byte_to_a_socket) {
  const House house(
      {.config = R"({"mcpServers": {"builtin": {"builtin": true}}, "transportEcho": true})", .workers = 1});
  const TempDir folder;
  write_file(folder.file("params"),
             R"({"name":"echo","arguments":{"message":")" + std::string(1 << 20, 'x') + R"("}})");
  const std::string calls = "trace=write,writev,sendto,sendmsg,sendmmsg,pwrite64";
  Process worker_trace({.argv = {"strace", "-f", "-y", "-e", calls, "-s", "8", "-o", folder.file("worker"), "-p",
                                 std::to_string(house.worker_pids().front())},
                        .stderr_path = folder.file("strace")});
  ASSERT_TRUE(eventually([&] { return read_file(folder.file("strace")).find("attached") != std::string::npos; }))
      << read_file(folder.file("strace"));
  const auto done =
      run({"strace", "-f", "-y", "-e", calls, "-s", "8", "-o", folder.file("client"), program("ringside"), "call",
           "--runtime-dir", house.dir(), "tools/call", "@" + folder.file("params"), "--door", "ring", "--trace"},
          {}, {"ASAN_OPTIONS=detect_leaks=0"});  // LeakSanitizer and strace cannot share a process
  worker_trace.signal(SIGINT);
  worker_trace.wait();
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_GT(done.out.size(), 1U << 20U);
  for (const auto* side : {"worker", "client"}) {
    const std::uint64_t bytes = bytes_to_sockets(read_file(folder.file(side)));
    EXPECT_GT(bytes, 0U) << side << ": the handshake goes by socket";
    EXPECT_LT(bytes, 64U << 10U) << side;
  }
  EXPECT_NE(done.err.find("ring"), std::string::npos) << done.err;
}

TEST(House, a_door_that_is_off_has_no_socket_and_no_thread) {
  const House house({.workers = 1, .environment = {"RINGSIDE_DOORS=http"}});
  EXPECT_FALSE(std::filesystem::exists(house.socket("runtime.sock")));
  EXPECT_FALSE(std::filesystem::exists(house.socket("ring.sock")));
  EXPECT_TRUE(std::filesystem::exists(house.socket("http.sock")));
  EXPECT_FALSE(Client::connect(house.client_options(DoorChoice::kGrpc)).ok());
  EXPECT_EQ(house.client(DoorChoice::kAuto)->door(), DoorChoice::kHttp);
  std::set<std::string> threads;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(house.worker_pids().front()) + "/task", error)) {
    threads.insert(read_file(task.path().string() + "/comm"));
  }
  for (const std::string& name : threads) {
    EXPECT_EQ(name.find("grpc"), std::string::npos) << name;
    EXPECT_NE(name, "rings\n");
  }
}

TEST(House, auto_takes_the_first_open_door) {
  const House house({.environment = {"RINGSIDE_DOORS=grpc,http"}});
  EXPECT_EQ(house.client(DoorChoice::kAuto)->door(), DoorChoice::kGrpc);
  const House all;
  EXPECT_EQ(all.client(DoorChoice::kAuto)->door(), DoorChoice::kRing);
}

TEST(House, health_is_serving_by_the_standard_check) {
  const House house;
  EXPECT_EQ(run({program("ringside"), "health", "--runtime-dir", house.dir()}).exit_code, 0);
  EXPECT_EQ(run({program("ringside"), "health", "--runtime-dir", house.dir() + "/nowhere"}).exit_code, 3);
  const auto status = run({program("ringside"), "status", "--json", "--runtime-dir", house.dir()});
  EXPECT_EQ(status.exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(status.out)["workers"].size(), 2U) << status.out;
}

TEST(House, a_curl_on_the_http_socket_is_answered) {
  const House house;
  const auto health = run({"curl", "-s", "--unix-socket", house.socket("http.sock"), "http://localhost/health"});
  EXPECT_EQ(nlohmann::json::parse(health.out, nullptr, false)["status"], "ok") << health.out << health.err;
  const auto pong = run({"curl", "-s", "--unix-socket", house.socket("http.sock"), "http://localhost/mcp", "-H",
                         "content-type: application/json", "-d", R"({"jsonrpc":"2.0","id":1,"method":"ping"})"});
  EXPECT_EQ(pong.out, R"({"jsonrpc":"2.0","id":1,"result":{}})");
}

}  // namespace
}  // namespace ringside::test
