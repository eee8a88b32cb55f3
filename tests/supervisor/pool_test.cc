// The supervisor's promises about workers: who lives, who is started again, who gets a connection.
#include "tests/supervisor/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>

namespace ringside::test {
namespace {

using control::v1::Worker;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

ino_t inode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_ino;
}

bool is_alive(pid_t pid) { return std::filesystem::exists("/proc/" + std::to_string(pid)); }

std::vector<std::string> sockets_in(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_socket()) found.push_back(entry.path().filename());
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(Supervisor, a_killed_worker_is_started_again_and_the_sockets_stay_the_same) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  std::map<std::string, ino_t> before;
  for (const auto& name : sockets_in(pool.dir())) before[name] = inode_of(pool.socket(name));
  ASSERT_EQ(before.size(), 5U);
  const auto first = pool.pids();
  for (const pid_t pid : first) ::kill(pid, SIGKILL);
  ASSERT_TRUE(eventually([&] {
    const auto status = pool.status();
    return status.workers(0).restarts() == 1 && status.workers(1).restarts() == 1 &&
           status.workers(0).state() == Worker::STATE_READY && status.workers(1).state() == Worker::STATE_READY;
  }));
  EXPECT_EQ(pool.worker(0).last_exit(), "signal 9");
  EXPECT_NE(pool.worker(0).pid(), first[0]);
  for (const auto& [name, inode] : before) EXPECT_EQ(inode_of(pool.socket(name)), inode) << name;
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  EXPECT_THAT(peer.line().value_or("nothing"), HasSubstr("door=1"));
}

TEST(Supervisor, nothing_is_accepted_before_a_worker_is_ready) {
  Pool pool({.orders = "silent"});
  const Peer peer = Peer::to(pool.socket("runtime.sock"));
  // The kernel's queue has the connection; nobody has taken it, however often the loop went round since.
  EXPECT_EQ(pool.worker(0).state(), Worker::STATE_STARTING);
  EXPECT_EQ(pool.worker(0).connections_handed(), 0U);
  EXPECT_EQ(pool.health(""), "NOT_SERVING");
  EXPECT_FALSE(peer.readable(std::chrono::milliseconds(0)));
  EXPECT_THAT(pool.log(), testing::Not(HasSubstr("READY")));
}

TEST(Supervisor, a_connection_from_before_the_first_worker_is_served_by_it) {
  const TempDir marks;
  // The first worker dies at once, so the connection is made while none is there.
  Pool pool({.orders = "exit,once=" + marks.file("died")});
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  EXPECT_THAT(peer.line().value_or("nothing"), HasSubstr("door=1"));
  EXPECT_EQ(pool.worker(0).last_exit(), "exit 3");
}

TEST(Supervisor, connections_go_to_the_least_loaded_worker) {
  Pool pool({.workers = 3});
  pool.wait_ready();
  std::vector<Peer> peers;
  std::map<int, int> by_pid;
  for (int i = 0; i < 30; ++i) {
    peers.push_back(Peer::to(pool.socket("runtime.sock")));
    ++by_pid[number_in(peers.back().line().value_or("pid=0"), "pid")];
  }
  ASSERT_EQ(by_pid.size(), 3U);
  for (const auto& [pid, count] : by_pid) EXPECT_NEAR(count, 10, 3) << "pid " << pid;
  // One worker loses its connections; the next ones are for it.
  const int freed = by_pid.begin()->first;
  std::vector<Peer> others;
  for (auto& peer : peers) {
    peer.say("who\n");
    ASSERT_TRUE(peer.line().has_value());
  }
  int index = 0;
  while (pool.worker(index).pid() != freed) ++index;
  ::kill(freed, SIGKILL);
  ASSERT_TRUE(eventually([&] {
    const auto worker = pool.worker(index);
    return worker.restarts() == 1 && worker.state() == Worker::STATE_READY;
  }));
  const pid_t fresh = pool.worker(index).pid();
  for (int i = 0; i < 5; ++i) {
    others.push_back(Peer::to(pool.socket("http.sock")));
    EXPECT_EQ(number_in(others.back().line().value_or("pid=0"), "pid"), fresh);
  }
}

TEST(Supervisor, an_attached_ring_counts_like_a_connection) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  const auto rings_become = [&](std::uint32_t first, std::uint32_t second) {
    return eventually([&] {
      const auto status = pool.status();
      return status.workers(0).report().rings() == first && status.workers(1).report().rings() == second;
    });
  };
  const Peer stays = Peer::to(pool.socket("ring.sock"), SocketKind::kSeqPacket);
  std::optional<Peer> leaves = Peer::to(pool.socket("ring.sock"), SocketKind::kSeqPacket);
  ASSERT_TRUE(rings_become(1, 1));
  leaves.reset();
  ASSERT_TRUE(rings_become(1, 0));
  Peer next = Peer::to(pool.socket("runtime.sock"));
  EXPECT_EQ(number_in(next.line().value_or("pid=0"), "pid"), pool.worker(1).pid());
}

TEST(Supervisor, every_door_has_its_socket_and_the_worker_is_told_which) {
  Pool pool({.config = R"({"mcpServers": {"b": {"builtin": true}}, "limits": {"bodyBytes": 4096}})"});
  pool.wait_ready();
  Peer grpc = Peer::to(pool.socket("runtime.sock"));
  EXPECT_EQ(number_in(grpc.line().value_or(""), "door"), 1);
  Peer ring = Peer::to(pool.socket("ring.sock"), SocketKind::kSeqPacket);
  EXPECT_EQ(number_in(ring.line().value_or(""), "door"), 2);
  Peer http = Peer::to(pool.socket("http.sock"));
  EXPECT_EQ(number_in(http.line().value_or(""), "door"), 3);
  http.say("config\n");
  EXPECT_THAT(http.line().value_or(""),
              testing::AllOf(HasSubstr("runtime_dir: \"" + pool.dir() + "\""), HasSubstr("body_bytes: 4096"),
                             HasSubstr("name: \"b\" builtin"), HasSubstr("doors: \"ring\"")));
}

TEST(Supervisor, a_door_that_is_off_has_no_socket) {
  Pool pool({.config = R"({"doors": ["ring"]})", .environment = {"RINGSIDE_DOORS=http, grpc"}});
  EXPECT_THAT(sockets_in(pool.dir()), ElementsAre("control.sock", "http.sock", "metrics.sock", "runtime.sock"));
  EXPECT_THAT(pool.status().doors(), ElementsAre("http", "grpc"));
}

TEST(Supervisor, a_connection_whose_worker_dies_unread_goes_to_another) {
  const TempDir marks;
  Pool pool({.workers = 2, .orders = "die-unread,once=" + marks.file("died")});
  pool.wait_ready();
  std::vector<Peer> peers;
  for (int i = 0; i < 2; ++i) {
    peers.push_back(Peer::to(pool.socket("runtime.sock")));
    peers.back().say(kPreface);
  }
  for (auto& peer : peers) {
    EXPECT_THAT(peer.line().value_or("closed"), HasSubstr("door=1"));
    EXPECT_EQ(peer.line().value_or("closed"), "heard PRI * HTTP/2.0\r");
  }
  pool.wait_for_log("handed_again=1");
}

TEST(Supervisor, a_connection_whose_only_worker_dies_unread_waits_for_the_next) {
  const TempDir marks;
  Pool pool({.workers = 1, .orders = "die-unread,once=" + marks.file("died")});
  pool.wait_ready();
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  peer.say(kPreface);
  EXPECT_THAT(peer.line().value_or("closed"), HasSubstr("door=1"));
  EXPECT_EQ(peer.line().value_or("closed"), "heard PRI * HTTP/2.0\r");
}

TEST(Supervisor, a_connection_that_its_dead_worker_had_read_is_closed) {
  const TempDir marks;
  Pool pool({.workers = 1, .orders = "die-read,once=" + marks.file("died")});
  pool.wait_ready();
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  peer.say(kPreface);
  EXPECT_FALSE(peer.line().has_value());
}

TEST(Supervisor, while_no_worker_has_room_connections_wait_and_none_is_lost) {
  constexpr int kConnections = 700;  // far more than a link holds
  Pool pool({.workers = 1, .orders = "deaf"});
  pool.wait_ready();
  std::vector<Peer> peers;
  for (int i = 0; i < kConnections; ++i) peers.push_back(Peer::to(pool.socket("http.sock")));
  std::uint64_t handed = 0;
  ASSERT_TRUE(eventually([&] {
    const std::uint64_t now = pool.worker(0).connections_handed();
    return now > 0 && std::exchange(handed, now) == now;
  }));
  EXPECT_LT(handed, static_cast<std::uint64_t>(kConnections));
  ::kill(pool.pids()[0], SIGUSR1);
  for (auto& peer : peers) ASSERT_TRUE(peer.line().has_value());
}

TEST(Supervisor, an_epoch_asked_for_has_moved_on_before_the_answer) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  std::vector<Peer> peers;
  for (int i = 0; i < 2; ++i) {
    peers.push_back(Peer::to(pool.socket("runtime.sock")));
    ASSERT_TRUE(peers.back().line().has_value());
  }
  for (int i = 1; i <= 4; ++i) {
    Peer& peer = peers[static_cast<std::size_t>(i) % 2];
    peer.say("epoch\n");
    EXPECT_EQ(peer.line().value_or("nothing"), "epoch " + std::to_string(i));
  }
}

TEST(Supervisor, a_worker_that_breaks_the_links_protocol_is_replaced) {
  for (const std::string order : {"garbage", "close-link"}) {
    const TempDir marks;
    Pool pool({.orders = order + ",once=" + marks.file("done")});
    ASSERT_TRUE(eventually([&] {
      const auto worker = pool.worker(0);
      return worker.restarts() == 1 && worker.state() == Worker::STATE_READY;
    })) << order;
    EXPECT_EQ(pool.worker(0).last_exit(), "signal 9");
    EXPECT_THAT(pool.log(), HasSubstr(order == "garbage" ? "what it said is no message" : "it closed its link"));
  }
}

TEST(Supervisor, the_reason_of_a_worker_that_fails_is_logged_on_one_line) {
  const TempDir marks;
  Pool pool({.orders = "fail,once=" + marks.file("failed")});
  pool.wait_ready();
  EXPECT_THAT(pool.log(), HasSubstr(R"(worker 0 failed: the store is \x0a broken)"));
  EXPECT_EQ(pool.worker(0).last_exit(), "exit 1");
}

TEST(Supervisor, a_worker_that_keeps_dying_is_started_ever_more_slowly) {
  Pool pool({.orders = "exit"});
  Worker worker;
  ASSERT_TRUE(eventually([&] {
    worker = pool.worker(0);
    return worker.restarts() >= 3 && worker.state() == Worker::STATE_BACKING_OFF;
  }));
  EXPECT_EQ(worker.pid(), 0);
  EXPECT_THAT(pool.log(), HasSubstr("again_in_ms=0"));
  EXPECT_EQ(pool.stop(), 0);
}

TEST(Supervisor, the_end_leaves_no_socket_and_no_process_behind) {
  Pool pool({.workers = 3});
  pool.wait_ready();
  const auto pids = pool.pids();
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  ASSERT_TRUE(peer.line().has_value());
  EXPECT_EQ(pool.stop(), 0);
  EXPECT_THAT(sockets_in(pool.dir()), ElementsAre());
  for (const pid_t pid : pids) EXPECT_FALSE(is_alive(pid)) << pid;
  EXPECT_FALSE(peer.line().has_value());
  EXPECT_THAT(pool.log(), HasSubstr("draining"));
}

TEST(Supervisor, a_second_signal_does_not_wait_for_workers) {
  Pool pool({.orders = "ignore-drain"});
  pool.wait_ready();
  const pid_t worker = pool.pids()[0];
  pool.process().signal(SIGTERM);
  pool.wait_for_log("draining");
  EXPECT_EQ(pool.health(""), "NOT_SERVING");
  EXPECT_EQ(pool.worker(0).state(), Worker::STATE_DRAINING);
  EXPECT_THAT(sockets_in(pool.dir()), ElementsAre("control.sock", "metrics.sock"));
  pool.process().signal(SIGINT);
  EXPECT_EQ(pool.process().wait(std::chrono::seconds(3)), 0);
  EXPECT_FALSE(is_alive(worker));
}

TEST(Supervisor, a_killed_supervisor_takes_its_workers_along_and_another_can_start) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  const auto pids = pool.pids();
  pool.process().signal(SIGKILL);
  EXPECT_EQ(pool.process().wait(), 128 + SIGKILL);
  for (const pid_t pid : pids) EXPECT_TRUE(eventually([&] { return !is_alive(pid); }));
  EXPECT_EQ(sockets_in(pool.dir()).size(), 5U);
  Process next({.argv = {program("ringsided"), "--runtime-dir", pool.dir(), "--worker-program",
                         program("supervisor_fake_worker")},
                .stderr_path = pool.folder().file("log2")});
  EXPECT_TRUE(eventually([&] { return read_file(pool.folder().file("log2")).find("READY") != std::string::npos; }));
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait(), 0);
  EXPECT_THAT(sockets_in(pool.dir()), ElementsAre());
}

}  // namespace
}  // namespace ringside::test
