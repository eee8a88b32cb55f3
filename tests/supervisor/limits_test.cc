// The supervisor inside this process, with limits that a test can wait for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "supervisor/supervisor.h"
#include "tests/supervisor/pool.h"

namespace ringside::supervisor {
namespace {

using test::eventually;
using test::TempDir;

/// Before main, so that every thread of this process, gRPC's too, leaves these signals to the loop.
const bool kSignalsBlocked = [] {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  for (const int number : {SIGINT, SIGHUP, SIGUSR2}) ::sigaddset(&set, number);
  return ::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0;
}();

class Inside {
 public:
  Inside(const std::string& orders, PolicyOptions policy) {
    EXPECT_TRUE(kSignalsBlocked);
    ::setenv("RINGSIDE_FAKE_WORKER", orders.c_str(), 1);
    SupervisorOptions options;
    options.config.workers = 1;
    options.runtime_dir = folder_.file("run");
    options.worker_program = test::program("supervisor_fake_worker");
    options.version = "test";
    options.config.lives = policy;
    options.seed = 7;
    auto made = Supervisor::create(std::move(options), system_clock());
    EXPECT_TRUE(made.ok());
    supervisor_ = std::move(made).value();
    thread_ = std::thread([this] { EXPECT_TRUE(supervisor_->run().ok()); });
  }
  ~Inside() { stop(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  void stop() {
    if (!thread_.joinable()) return;
    ::kill(::getpid(), SIGTERM);
    thread_.join();
    supervisor_.reset();
  }
  [[nodiscard]] std::string socket(const std::string& name) const { return folder_.file("run") + "/" + name; }
  [[nodiscard]] control::v1::Worker worker() const { return test::status_at(socket("control.sock")).workers(0); }

 private:
  TempDir folder_;
  std::unique_ptr<Supervisor> supervisor_;
  std::thread thread_;
};

TEST(Limits, a_worker_that_is_not_ready_in_time_is_killed_and_started_again) {
  const TempDir marks;
  const Inside inside("silent,once=" + marks.file("silent"), {.start_limit = std::chrono::milliseconds(500)});
  ASSERT_TRUE(eventually([&] {
    const auto worker = inside.worker();
    return worker.restarts() > 0 && worker.state() == control::v1::Worker::STATE_READY;
  }));
  EXPECT_EQ(inside.worker().last_exit(), "signal 9");
}

TEST(Limits, a_worker_that_does_not_finish_in_time_is_killed) {
  for (const char* order : {"ignore-drain", "linger"}) {
    Inside inside(order, {.drain_within = std::chrono::milliseconds(50), .drain_grace = std::chrono::milliseconds(50)});
    ASSERT_TRUE(eventually([&] { return inside.worker().state() == control::v1::Worker::STATE_READY; }));
    const pid_t worker = inside.worker().pid();
    inside.stop();
    EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(worker))) << order;
    EXPECT_FALSE(std::filesystem::exists(inside.socket("control.sock")));
  }
}

TEST(Limits, without_descriptors_accepting_pauses_and_goes_on_by_itself) {
  const Inside inside("", {});
  ASSERT_TRUE(eventually([&] { return inside.worker().state() == control::v1::Worker::STATE_READY; }));
  const auto handed = [&] { return inside.worker().connections_handed(); };
  test::Peer first = test::Peer::to(inside.socket("http.sock"));
  ASSERT_TRUE(first.line().has_value());
  ASSERT_EQ(handed(), 1U);
  // The client's end exists before the limit falls below what is open already, so that only accept4 can fail.
  UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  test::connect_to_path(client.get(), inside.socket("http.sock"));
  test::Peer second(std::move(client));
  EXPECT_FALSE(second.readable(std::chrono::milliseconds(250))) << "nobody can have accepted it";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(second.line().has_value());
  EXPECT_EQ(handed(), 2U);
}

TEST(Limits, a_program_that_is_no_program_is_tried_again_and_again_until_the_stop) {
  const TempDir folder;
  test::write_file(folder.file("worker"), "neither ELF nor script");
  std::filesystem::permissions(folder.file("worker"), std::filesystem::perms::owner_all);
  SupervisorOptions options;
  options.config.workers = 2;
  options.runtime_dir = folder.file("run");
  options.worker_program = folder.file("worker");
  auto made = Supervisor::create(std::move(options), system_clock());
  ASSERT_TRUE(made.ok());
  std::thread thread([&] { EXPECT_TRUE((*made)->run().ok()); });
  const auto worker = [&](int index) { return test::status_at(folder.file("run/control.sock")).workers(index); };
  EXPECT_TRUE(eventually([&] { return worker(0).restarts() > 2 && worker(1).restarts() > 2; }));
  EXPECT_EQ(worker(0).pid(), 0);
  ::kill(::getpid(), SIGTERM);
  thread.join();
}

}  // namespace
}  // namespace ringside::supervisor
