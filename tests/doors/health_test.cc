// Health that is true: with real faults, at every place where it can be asked.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <csignal>
#include <string>

#include "tests/support/coming_and_going.h"
#include "tests/support/house.h"
#include "tests/support/probes.h"

namespace ringside::test {
namespace {

struct Told {
  std::string contract;   ///< the word
  std::string overall;    ///< of a worker
  std::string readiness;  ///< of a worker
  int http_health = 0;
  int http_ready = 0;
  int http_live = 0;
  std::string whole;  ///< the supervisor's word
  std::string whole_overall;
  std::string whole_readiness;
  std::string whole_liveness;

  bool operator==(const Told&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Told& told) {
  return out << "contract=" << told.contract << " overall=" << told.overall << " readiness=" << told.readiness
             << " http=" << told.http_health << "/" << told.http_ready << "/" << told.http_live
             << " whole=" << told.whole << " " << told.whole_overall << " " << told.whole_readiness << " "
             << told.whole_liveness;
}

int http_status(const House& house, const std::string& path) {
  const auto done = run({"curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket",
                         house.socket("http.sock"), "http://ringside" + path});
  return done.exit_code == 0 ? std::stoi(done.out) : 0;
}

Told ask(const House& house) {
  const std::string runtime = house.socket("runtime.sock");
  const std::string control = house.socket("control.sock");
  return {contract_health(house),
          standard_health(runtime, ""),
          standard_health(runtime, "readiness"),
          http_status(house, "/health"),
          http_status(house, "/ready"),
          http_status(house, "/live"),
          house.status().health(),
          standard_health(control, ""),
          standard_health(control, "readiness"),
          standard_health(control, "liveness")};
}

/// Waits until that is what is told; fails the test with what is told instead.
void expect_soon(const House& house, const Told& wanted) {
  Told told;
  eventually([&] { return (told = ask(house)) == wanted; });
  EXPECT_EQ(told, wanted) << house.log();
}

const Told kFine{"ok", "SERVING", "SERVING", 200, 200, 200, "ok", "SERVING", "SERVING", "SERVING"};

Finished ringside_health(const House& house, const std::string& flag) {
  return run({program("ringside"), "health", "--runtime-dir", house.dir(), "--timeout", "2", flag});
}

std::string call_tool() { return R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tool"}})"; }

TEST(Health, is_fine_everywhere_when_all_is_well) {
  const House house;
  expect_soon(house, kFine);
  EXPECT_EQ(ringside_health(house, "--liveness").out, "SERVING\n");
  EXPECT_EQ(ringside_health(house, "--readiness").out, "SERVING\n");
}

TEST(Health, is_degraded_while_every_upstream_is_down_and_comes_back_without_a_call) {
  ComingAndGoing upstream;
  const House house({.config = upstream.config(), .workers = 1});
  const Told degraded{"degraded", "NOT_SERVING", "SERVING",     503,       200,
                      200,        "degraded",    "NOT_SERVING", "SERVING", "SERVING"};
  expect_soon(house, degraded);
  EXPECT_EQ(ringside_health(house, "--readiness").exit_code, 0);
  const auto overall = ringside_health(house, "--socket=control");
  EXPECT_EQ(overall.exit_code, 1);
  EXPECT_NE(overall.err.find("1 of 1 workers reach no upstream"), std::string::npos) << overall.err;
  upstream.start();
  expect_soon(house, kFine);
  const auto client = house.client(DoorChoice::kGrpc);
  EXPECT_EQ(client->call(post(call_tool()))->status, 200);
  upstream.stop();
  EXPECT_EQ(client->call(post(call_tool()))->status, 502);
  expect_soon(house, degraded);
}

TEST(Health, is_not_ready_while_the_store_is_locked) {
  const House house;
  expect_soon(house, kFine);
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(house.socket("sessions.db").c_str(), &database), SQLITE_OK);
  sqlite3_busy_timeout(database, 10'000);
  ASSERT_EQ(sqlite3_exec(database, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  expect_soon(house, {"not ready", "NOT_SERVING", "NOT_SERVING", 503, 503, 200, "not ready", "NOT_SERVING",
                      "NOT_SERVING", "SERVING"});
  EXPECT_EQ(ringside_health(house, "--readiness").exit_code, 1);
  EXPECT_EQ(ringside_health(house, "--liveness").exit_code, 0);
  ASSERT_EQ(sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  expect_soon(house, kFine);
}

TEST(Health, is_not_ready_when_the_stores_file_is_taken_away) {
  const House house;
  expect_soon(house, kFine);
  ASSERT_EQ(std::remove(house.socket("sessions.db").c_str()), 0);
  EXPECT_TRUE(eventually([&] { return house.status().health() == "not ready"; })) << house.log();
  EXPECT_EQ(contract_health(house), "not ready");
}

TEST(Health, is_not_ok_when_the_stores_file_is_overwritten) {
  const House house;
  expect_soon(house, kFine);
  write_file(house.socket("sessions.db"), std::string(8192, 'x'));
  write_file(house.socket("sessions.db-wal"), std::string(8192, 'x'));
  // A worker that has every page in its memory may go on for a while.
  EXPECT_TRUE(eventually([&] { return house.status().health() != "ok"; })) << house.log();
}

TEST(Health, tells_of_workers_that_are_stopped_and_of_those_that_are_gone) {
  const House house;
  expect_soon(house, kFine);
  const auto pids = house.worker_pids();
  ::kill(pids[0], SIGSTOP);
  EXPECT_TRUE(eventually([&] { return house.status().health() == "degraded"; })) << house.log();
  EXPECT_EQ(standard_health(house.socket("control.sock"), ""), "SERVING");
  ::kill(pids[1], SIGSTOP);
  EXPECT_TRUE(eventually([&] { return house.status().health() == "not ready"; })) << house.log();
  EXPECT_EQ(standard_health(house.socket("control.sock"), ""), "NOT_SERVING");
  EXPECT_EQ(standard_health(house.socket("control.sock"), "liveness"), "SERVING");
  EXPECT_EQ(ringside_health(house, "--socket=runtime").exit_code, 3);
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  expect_soon(house, kFine);
}

TEST(Health, a_watcher_hears_of_a_change) {
  ComingAndGoing upstream;
  const House house({.config = upstream.config(), .workers = 1});
  const auto channel = rpc::channel_to_path(house.socket("runtime.sock"), kProbeBytes);
  grpc::ClientContext context;
  set_probe_deadline(context, std::chrono::seconds(20));
  const auto watch = grpc::health::v1::Health::NewStub(channel)->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse said;
  ASSERT_TRUE(watch->Read(&said));
  EXPECT_EQ(said.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(house.client(DoorChoice::kGrpc)->call(post(call_tool()))->status, 502);
  ASSERT_TRUE(watch->Read(&said));
  EXPECT_EQ(said.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  upstream.start();
  ASSERT_TRUE(watch->Read(&said));
  EXPECT_EQ(said.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

}  // namespace
}  // namespace ringside::test
