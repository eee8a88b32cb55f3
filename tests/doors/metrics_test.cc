// The metrics of a real Ringside: a page that Prometheus reads, counters that never fall.

#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "tests/support/house.h"
#include "tests/support/scrape.h"

namespace ringside::test {
namespace {

Scrape scrape(const House& house) { return read_scrape(fetch_page(house.socket("metrics.sock"))); }

std::string echo() { return R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}})"; }

std::string calls_at(DoorChoice door) {
  return "ringside_calls_total{door=\"" + std::string(to_string(door)) + "\",method=\"tools/call\"}";
}

TEST(Metrics, the_page_is_what_prometheus_expects) {
  const House house;
  for (const DoorChoice door : kDoors) ASSERT_EQ(house.client(door)->call(post(echo()))->status, 200);
  ASSERT_TRUE(eventually([&] { return scrape(house).value(calls_at(DoorChoice::kRing)) > 0; }));
  const Scrape now = scrape(house);
  EXPECT_EQ(now.faults, std::vector<std::string>());
  EXPECT_EQ(now.value("ringside_health{status=\"ok\"}"), 1);
  EXPECT_EQ(now.value("ringside_workers_wanted"), 2);
  EXPECT_GT(now.value("ringside_worker_resident_bytes{worker=\"1\"}"), 1 << 20);
  const auto plain = run({"curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", "--unix-socket",
                          house.socket("metrics.sock"), "http://ringside/metrics"});
  EXPECT_EQ(plain.out, "200 text/plain; version=0.0.4; charset=utf-8");
}

TEST(Metrics, each_call_is_counted_once_at_its_door_with_its_bytes_and_its_outcome) {
  const House house;
  constexpr int kCalls = 5;
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    for (int i = 0; i < kCalls; ++i) ASSERT_EQ(client->call(post(echo()))->status, 200);
    ASSERT_EQ(client->call(post(echo(), "nobody"))->status, 404);
  }
  for (const DoorChoice door : kDoors) {
    EXPECT_TRUE(eventually([&] { return scrape(house).value(calls_at(door)) == kCalls + 1; })) << to_string(door);
    const std::string labels = "{door=\"" + std::string(to_string(door)) + "\",method=\"tools/call\"";
    const Scrape now = scrape(house);
    EXPECT_EQ(now.value("ringside_call_errors_total" + labels + ",status=\"4xx\"}"), 1);
    EXPECT_EQ(now.value("ringside_call_errors_total" + labels + ",status=\"5xx\"}"), 0);
    EXPECT_EQ(now.value("ringside_call_duration_seconds_count" + labels + "}"), kCalls + 1);
    EXPECT_GT(now.value("ringside_call_duration_seconds_sum" + labels + "}"), 0);
    EXPECT_EQ(now.value("ringside_call_received_bytes_total" + labels + "}"),
              static_cast<double>((kCalls + 1) * echo().size()));
  }
}

TEST(Metrics, no_counter_falls_and_none_is_lost_when_workers_are_killed) {
  const House house;
  std::map<std::string, double> before;
  double calls = 0;
  for (int round = 0; round < 4; ++round) {
    const auto client = house.client(DoorChoice::kGrpc);
    for (int i = 0; i < 20; ++i) ASSERT_EQ(client->call(post(echo()))->status, 200);
    calls += 20;
    EXPECT_TRUE(eventually([&] { return scrape(house).value(calls_at(DoorChoice::kGrpc)) == calls; }));
    for (const pid_t pid : house.worker_pids()) {
      house.kill_worker(pid);
      const Scrape now = scrape(house);
      EXPECT_EQ(now.faults, std::vector<std::string>());
      const auto counters = now.counters();
      for (const auto& [name, value] : before) {
        ASSERT_TRUE(counters.contains(name)) << name;
        EXPECT_GE(counters.at(name), value) << name;
      }
      before = counters;
    }
  }
  EXPECT_EQ(before.at("ringside_worker_exits_total{cause=\"signal 9\"}"), 8);
  EXPECT_EQ(before.at(calls_at(DoorChoice::kGrpc)), calls);
}

TEST(Metrics, no_counter_falls_and_no_series_stands_twice_across_a_reload_and_an_upgrade) {
  const House house;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(house.client(DoorChoice::kGrpc)->call(post(echo()))->status, 200);
  ASSERT_TRUE(eventually([&] { return scrape(house).value(calls_at(DoorChoice::kGrpc)) == 20; }));
  house.kill_worker(house.worker_pids().front());
  std::map<std::string, double> before = scrape(house).counters();
  for (const char* order : {"reload", "upgrade", "upgrade"}) {
    Process ordered({.argv = {program("ringside"), "--runtime-dir", house.dir(), order}});
    while (ordered.wait(std::chrono::milliseconds(0)) < 0) {
      // One program leaves its connections to metrics.sock to nobody; the next answers.
      const std::string page = fetch_page(house.socket("metrics.sock"));
      if (page.empty()) continue;
      const Scrape now = read_scrape(page);
      ASSERT_EQ(now.faults, std::vector<std::string>()) << order;
      const auto counters = now.counters();
      for (const auto& [name, value] : before) {
        ASSERT_TRUE(counters.contains(name)) << name << " during " << order;
        ASSERT_GE(counters.at(name), value) << name << " during " << order;
      }
      before = counters;
    }
    EXPECT_EQ(ordered.wait(), 0) << order;
  }
  EXPECT_GE(before.at("ringside_worker_exits_total{cause=\"signal 9\"}"), 1);
  EXPECT_GE(before.at("ringside_worker_restarts_total{worker=\"0\"}"), 3);
}

TEST(Metrics, a_worker_that_drains_reports_to_the_end) {
  const House house({.workers = 1});
  const auto client = house.client(DoorChoice::kHttp);
  const pid_t worker = house.worker_pids().at(0);
  for (int i = 0; i < 7; ++i) ASSERT_EQ(client->call(post(echo()))->status, 200);
  ::kill(worker, SIGTERM);
  ASSERT_TRUE(eventually([&] { return scrape(house).value("ringside_worker_exits_total{cause=\"exit 0\"}") == 1; }));
  EXPECT_EQ(scrape(house).value(calls_at(DoorChoice::kHttp)), 7);
}

TEST(Top, prints_one_frame_where_there_is_no_terminal) {
  const House house;
  const auto text = run({program("ringside"), "top", "--runtime-dir", house.dir()});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("WORKER"), std::string::npos) << text.out;
  EXPECT_EQ(text.out.find('\x1b'), std::string::npos);
  const auto json = run({program("ringside"), "top", "--json", "--runtime-dir", house.dir()});
  EXPECT_TRUE(json.out.starts_with("{\"version\":")) << json.out;
}

TEST(Top, on_a_terminal_ends_by_q_and_leaves_the_screen_as_it_was) {
  const House house;
  const auto done =
      run({"script", "-qec", program("ringside") + " top --runtime-dir " + house.dir(), "/dev/null"}, "q");
  EXPECT_EQ(done.exit_code, 0) << done.out;
  EXPECT_TRUE(done.out.find("\x1b[?1049h") < done.out.find("\x1b[?1049l")) << done.out;
}

}  // namespace
}  // namespace ringside::test
