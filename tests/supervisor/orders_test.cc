// The supervisor's promises about orders: reload, upgrade, how many workers, what is told about it all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/supervisor/pool.h"

namespace ringside::test {
namespace {

using control::v1::Worker;
using testing::HasSubstr;

Finished ringside(const Pool& pool, std::vector<std::string> arguments) {
  std::vector<std::string> argv{program("ringside"), "--runtime-dir", pool.dir()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv);
}

void configure(const Pool& pool, const std::string& config) { write_file(pool.folder().file("ringside.json"), config); }

std::size_t descriptors_of(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(Reload, puts_a_right_configuration_in_force_and_keeps_the_sockets) {
  Pool pool({.workers = 2, .config = R"({"limits": {"bodyBytes": 4096}})"});
  pool.wait_ready();
  const auto before = pool.pids();
  Peer old = Peer::to(pool.socket("http.sock"));
  ASSERT_TRUE(old.line().has_value());
  configure(pool, R"({"limits": {"bodyBytes": 8192}})");
  const auto reloaded = ringside(pool, {"reload"});
  EXPECT_EQ(reloaded.exit_code, 0) << reloaded.err;
  EXPECT_EQ(reloaded.out, "2 of 2 workers ready\n");
  const auto now = pool.status();
  for (const auto& worker : now.workers()) {
    EXPECT_EQ(std::count(before.begin(), before.end(), worker.pid()), worker.state() == Worker::STATE_READY ? 0 : 1);
  }
  Peer fresh = Peer::to(pool.socket("http.sock"));
  ASSERT_TRUE(fresh.line().has_value());
  fresh.say("config\n");
  EXPECT_THAT(fresh.line().value_or(""), HasSubstr("body_bytes: 8192"));
  EXPECT_TRUE(pool.status().last_reload().in_force());
}

TEST(Reload, of_a_wrong_configuration_changes_nothing_and_says_what_is_wrong) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  const auto before = pool.pids();
  configure(pool, R"({"workers": "many"})");
  const auto reloaded = ringside(pool, {"reload"});
  EXPECT_EQ(reloaded.exit_code, 1);
  EXPECT_THAT(reloaded.err, HasSubstr("workers: expected"));
  EXPECT_EQ(pool.pids(), before);
  EXPECT_EQ(pool.status().generation(), 1U);
  EXPECT_THAT(pool.status().last_reload().faults(0), HasSubstr("workers: expected"));
  EXPECT_THAT(ringside(pool, {"status"}).out, HasSubstr("the last reload was refused"));
  EXPECT_THAT(pool.log(), HasSubstr("reload refused"));
}

TEST(Reload, comes_by_sighup_too_and_opens_and_shuts_doors) {
  Pool pool({.config = R"({"doors": ["ring", "http"]})"});
  pool.wait_ready();
  EXPECT_FALSE(std::filesystem::exists(pool.socket("runtime.sock")));
  configure(pool, R"({"doors": ["ring", "grpc"]})");
  pool.process().signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return pool.status().generation() == 2 && !pool.status().renewing(); }));
  EXPECT_FALSE(std::filesystem::exists(pool.socket("http.sock")));
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  EXPECT_THAT(peer.line().value_or("nothing"), HasSubstr("door=1"));
}

TEST(Upgrade, keeps_pid_sockets_and_workers_until_new_ones_are_ready) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  const auto before = pool.pids();
  const pid_t supervisor = pool.status().pid();
  Peer old = Peer::to(pool.socket("http.sock"));
  ASSERT_TRUE(old.line().has_value());
  const auto upgraded = ringside(pool, {"upgrade"});
  EXPECT_EQ(upgraded.exit_code, 0) << upgraded.err << pool.log();
  EXPECT_THAT(upgraded.out, HasSubstr("2 of 2 workers ready"));
  EXPECT_EQ(pool.status().pid(), supervisor);
  EXPECT_EQ(pool.status().upgrades(), 1U);
  Peer fresh = Peer::to(pool.socket("http.sock"));
  EXPECT_EQ(std::count(before.begin(), before.end(), number_in(fresh.line().value_or("pid=0"), "pid")), 0);
  EXPECT_EQ(pool.stop(), 0);
  for (const pid_t pid : before) EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(pid)));
}

TEST(Upgrade, an_epoch_asked_for_of_the_next_program_has_moved_on_for_old_workers) {
  // They do not drain, so the old one can be asked afterwards.
  Pool pool({.config = R"({"lives": {"drainMs": 20000}})", .orders = "ignore-drain"});
  pool.wait_ready();
  Peer peer = Peer::to(pool.socket("http.sock"));
  ASSERT_TRUE(peer.line().has_value());
  peer.say("epoch\n");
  EXPECT_EQ(peer.line().value_or("nothing"), "epoch 1");
  EXPECT_EQ(ringside(pool, {"upgrade"}).exit_code, 0) << pool.log();
  peer.say("epoch\n");
  EXPECT_EQ(peer.line().value_or("nothing"), "epoch 3") << "one more for the new page";
  pool.process().signal(SIGTERM);
  pool.process().signal(SIGKILL);
}

TEST(Upgrade, to_a_program_that_fails_its_check_does_not_happen) {
  Pool pool({.workers = 1});
  pool.wait_ready();
  const auto before = pool.pids();
  configure(pool, R"({"doors": []})");
  const auto upgraded = ringside(pool, {"upgrade"});
  EXPECT_EQ(upgraded.exit_code, 1);
  EXPECT_THAT(upgraded.err, HasSubstr("doors: expected at least one"));
  EXPECT_EQ(pool.pids(), before);
  EXPECT_EQ(pool.status().upgrades(), 0U);
}

TEST(Upgrade, ten_in_a_row_leave_no_descriptor_behind) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  const auto upgrade = [&] {
    ASSERT_EQ(ringside(pool, {"upgrade"}).exit_code, 0) << pool.log();
    ASSERT_TRUE(eventually([&] { return pool.status().workers_size() == 2; }));
  };
  upgrade();
  const std::size_t before = descriptors_of(pool.status().pid());
  for (int i = 0; i < 9; ++i) upgrade();
  // Connections to control.sock come and go with the asking.
  EXPECT_TRUE(eventually([&] { return descriptors_of(pool.process().pid()) <= before + 2; }))
      << descriptors_of(pool.process().pid()) << " after " << before;
}

TEST(Workers, their_number_changes_at_run_time) {
  Pool pool({.workers = 1});
  pool.wait_ready();
  EXPECT_EQ(ringside(pool, {"workers", "3"}).out, "3 of 3 workers ready\n");
  EXPECT_EQ(pool.status().workers_size(), 3);
  EXPECT_EQ(ringside(pool, {"workers", "2"}).exit_code, 0);
  EXPECT_EQ(pool.status().workers_size(), 2);
  EXPECT_EQ(ringside(pool, {"workers", "0"}).exit_code, 2);
}

TEST(Workers, the_last_one_that_serves_is_not_drained) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  EXPECT_EQ(ringside(pool, {"worker", "drain", "0"}).exit_code, 0);
  const auto refused = ringside(pool, {"worker", "drain", "1"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("no other worker is ready"));
  EXPECT_THAT(ringside(pool, {"worker", "restart", "7"}).err, HasSubstr("there is no worker 7"));
  EXPECT_EQ(ringside(pool, {"worker", "restart", "0"}).exit_code, 0);
  EXPECT_EQ(pool.status().workers_size(), 2);
}

TEST(Workers, one_in_a_crash_loop_degrades_the_whole_and_is_named) {
  const TempDir marks;
  Pool pool({.workers = 2, .config = R"({"lives": {"breakerFailures": 3}})"});
  pool.wait_ready();
  EXPECT_EQ(pool.status().health(), "ok");
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(eventually([&] { return pool.worker(1).state() == Worker::STATE_READY; }));
    ::kill(pool.worker(1).pid(), SIGKILL);
    ASSERT_TRUE(eventually([&, i] { return pool.worker(1).failures() == static_cast<std::uint32_t>(i) + 1; }));
  }
  ASSERT_TRUE(eventually([&] { return pool.status().health() == "degraded"; }));
  EXPECT_TRUE(pool.worker(1).circuit_open());
  EXPECT_EQ(pool.worker(0).restarts(), 0U);
  EXPECT_EQ(pool.health(""), "SERVING");
  EXPECT_THAT(ringside(pool, {"status"}).out, HasSubstr("health: degraded (worker 1 is in a crash loop)"));
  EXPECT_EQ(ringside(pool, {"worker", "restart", "1"}).exit_code, 0);
  EXPECT_EQ(pool.status().health(), "ok");
}

TEST(Workers, a_stuck_one_is_aborted_and_replaced) {
  const TempDir marks;
  Pool pool({.config = R"({"lives": {"stuckMs": 500}})", .orders = "stuck,once=" + marks.file("stuck")});
  ASSERT_TRUE(eventually([&] { return pool.worker(0).restarts() == 1; }));
  EXPECT_THAT(pool.worker(0).last_exit(), HasSubstr("signal 6"));
  EXPECT_EQ(pool.worker(0).last_crash().exit(), pool.worker(0).last_exit());
  EXPECT_THAT(pool.log(), HasSubstr("it is stuck"));
}

TEST(Workers, one_that_was_stopped_is_aborted_and_replaced_at_once) {
  Pool pool({.config = R"({"lives": {"stuckMs": 1500}})"});
  pool.wait_ready();
  const auto stopped = std::chrono::steady_clock::now();
  ::kill(pool.pids().front(), SIGSTOP);
  ASSERT_TRUE(eventually([&] { return pool.worker(0).restarts() == 1; }));
  EXPECT_LT(std::chrono::steady_clock::now() - stopped, std::chrono::seconds(5)) << "not only when its core is overdue";
  EXPECT_THAT(pool.worker(0).last_exit(), HasSubstr("signal 6"));
}

TEST(Events, tell_what_happened_in_order_and_go_on_across_an_upgrade) {
  Pool pool({.workers = 1});
  pool.wait_ready();
  const std::string path = pool.folder().file("events");
  Process follower({.argv = {program("ringside"), "--runtime-dir", pool.dir(), "events", "--follow", "--json"},
                    .stdout_path = path});
  const auto told = [&](const std::string& what) {
    return eventually([&] { return read_file(path).find(what) != std::string::npos; });
  };
  EXPECT_TRUE(told(R"("to":"ready")"));
  ::kill(pool.pids()[0], SIGKILL);
  EXPECT_TRUE(told(R"("kind":"crash")"));
  EXPECT_EQ(ringside(pool, {"upgrade"}).exit_code, 0) << pool.log();
  EXPECT_TRUE(told("takes the place of")) << read_file(path);
  const auto all = ringside(pool, {"events"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(all.out, testing::AllOf(HasSubstr("worker 0 ready: its doors are open"), HasSubstr("crash 0: exit="),
                                      HasSubstr("supervisor: goes on")));
  EXPECT_EQ(pool.stop(), 0);
  EXPECT_EQ(follower.wait(), 3);
}

}  // namespace
}  // namespace ringside::test
