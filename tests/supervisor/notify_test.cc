// What the service manager hears, at a real NOTIFY_SOCKET.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "supervisor/notify.h"
#include "tests/supervisor/pool.h"

namespace ringside::test {
namespace {

/// The service manager's end.
class Manager {
 public:
  Manager() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  [[nodiscard]] std::string path() const { return folder_.file("notify"); }
  [[nodiscard]] std::string variable() const { return "NOTIFY_SOCKET=" + path(); }

  /// The next message; nothing when none comes.
  std::string next(std::chrono::milliseconds within = std::chrono::seconds(20)) {
    pollfd watched{fd_.get(), POLLIN, 0};
    if (::poll(&watched, 1, static_cast<int>(within.count())) != 1) return {};
    std::array<char, 4096> bytes{};
    const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    heard_.emplace_back(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    return heard_.back();
  }
  /// Listens until `message` comes; fails the test when it does not.
  void wait_for(const std::string& message) {
    for (std::string came = next(); came != message; came = next()) {
      if (!came.empty()) continue;
      ADD_FAILURE() << "never told: " << message << "; told: " << testing::PrintToString(heard_);
      return;
    }
  }
  [[nodiscard]] const std::vector<std::string>& heard() const { return heard_; }

 private:
  TempDir folder_;
  UniqueFd fd_;
  std::vector<std::string> heard_;
};

TEST(Notify, the_manager_hears_ready_once_when_the_first_worker_is_and_the_state_of_all) {
  Manager manager;
  Pool pool({.workers = 2, .environment = {manager.variable()}});
  manager.wait_for("STATUS=2/2 workers ready, 0 rings");
  EXPECT_THAT(manager.heard(), testing::Contains("READY=1"));
  const Peer ring = Peer::to(pool.socket("ring.sock"), SocketKind::kSeqPacket);
  manager.wait_for("STATUS=2/2 workers ready, 1 ring");
  for (const pid_t worker : pool.pids()) ::kill(worker, SIGKILL);
  manager.wait_for("STATUS=2/2 workers ready, 0 rings");
  EXPECT_THAT(manager.heard(), testing::Contains("STATUS=1/2 workers ready, 0 rings"));
  EXPECT_EQ(std::count(manager.heard().begin(), manager.heard().end(), "READY=1"), 1);
}

TEST(Notify, a_supervisor_whose_workers_never_get_ready_is_not_ready) {
  Manager manager;
  Pool pool({.orders = "silent", .environment = {manager.variable()}});
  manager.wait_for("STATUS=0/1 worker ready, 0 rings");
  EXPECT_THAT(manager.heard(), testing::Not(testing::Contains("READY=1")));
}

TEST(Notify, the_end_is_told_when_it_begins) {
  Manager manager;
  Pool pool({.orders = "linger", .environment = {manager.variable()}});
  manager.wait_for("READY=1");
  pool.process().signal(SIGTERM);
  manager.wait_for("STOPPING=1");
}

TEST(Notify, signs_of_life_come_from_the_loop_and_stop_with_it) {
  Manager manager;
  Pool pool({.environment = {manager.variable(), "WATCHDOG_USEC=100000"}});
  manager.wait_for("READY=1");
  for (int i = 0; i < 3; ++i) manager.wait_for("WATCHDOG=1");
  pool.process().signal(SIGSTOP);
  ASSERT_TRUE(eventually([&] {
    return read_file("/proc/" + std::to_string(pool.process().pid()) + "/stat").find(") T ") != std::string::npos;
  }));
  while (!manager.next(std::chrono::milliseconds(0)).empty()) {
  }
  EXPECT_EQ(manager.next(std::chrono::milliseconds(300)), "");
  pool.process().signal(SIGCONT);
  manager.wait_for("WATCHDOG=1");
}

TEST(Notify, nobody_is_told_anything_where_there_is_no_manager) {
  Pool pool({});
  pool.wait_ready();
  EXPECT_THAT(pool.log(), testing::Not(testing::HasSubstr("service manager")));
  EXPECT_EQ(pool.stop(), 0);
}

TEST(Notify, a_manager_that_is_gone_is_logged_once_and_changes_nothing) {
  Pool pool({.environment = {"NOTIFY_SOCKET=/nowhere/notify"}});
  pool.wait_ready();
  EXPECT_EQ(pool.stop(), 0);
  const std::string log = pool.log();
  const auto first = log.find("the service manager cannot be told anything");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("the service manager cannot be told anything", first + 1), std::string::npos);
}

TEST(Notify, a_reload_is_told_with_its_time) {
  Manager manager;
  ::setenv("NOTIFY_SOCKET", manager.path().c_str(), 1);
  FakeClock clock;
  supervisor::Notifier notifier(clock);
  notifier.reloading();
  EXPECT_EQ(manager.next(), "RELOADING=1\nMONOTONIC_USEC=3600000000");
  notifier.ready();
  EXPECT_EQ(manager.next(), "READY=1");
  notifier.status("a");
  notifier.status("a");
  notifier.status("b");
  EXPECT_EQ(manager.next(), "STATUS=a");
  EXPECT_EQ(manager.next(), "STATUS=b");
  EXPECT_FALSE(notifier.watchdog_interval().has_value());
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace ringside::test
