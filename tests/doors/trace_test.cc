// An id follows a call from the gateway to the upstream and back, and into the log; secrets follow it nowhere.

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "tests/support/coming_and_going.h"
#include "tests/support/house.h"
#include "tests/support/scrape.h"

namespace ringside::test {
namespace {

constexpr const char* kTrace = "0af7651916cd43dd8448eb211c80319c";
constexpr const char* kTraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

std::string call_tool() { return R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"tool"}})"; }

TEST(Trace, a_calls_ids_reach_its_upstream_as_they_came_and_come_back_at_every_door) {
  ComingAndGoing upstream;
  upstream.start();
  const House house({.config = upstream.config()});
  for (const DoorChoice door : kDoors) {
    const std::string id = "call of the gateway #" + std::string(to_string(door));
    Request request = post(call_tool());
    request.headers.set("x-request-id", id);
    request.headers.set("traceparent", kTraceParent);
    request.headers.set("tracestate", "vendor=1");
    request.headers.set("authorization", "Bearer for the gateway alone");
    const auto answer = house.client(door)->call(request);
    ASSERT_TRUE(answer.ok() && answer->status == 200) << to_string(door);
    EXPECT_EQ(answer->headers.get("x-request-id"), id);
    const auto seen = upstream.headers();
    EXPECT_EQ(seen.get("x-request-id"), id);
    EXPECT_EQ(seen.get("traceparent"), kTraceParent);
    EXPECT_EQ(seen.get("tracestate"), "vendor=1");
    EXPECT_EQ(seen.get("authorization"), "");
  }
}

TEST(Trace, a_call_without_an_id_gets_one_of_its_own) {
  ComingAndGoing upstream;
  upstream.start();
  const House house({.config = upstream.config()});
  std::set<std::string> ids;
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    for (int i = 0; i < 4; ++i) {
      const auto answer = client->call(post(call_tool()));
      ASSERT_TRUE(answer.ok());
      const std::string id(answer->headers.get("x-request-id"));
      EXPECT_FALSE(id.empty());
      EXPECT_EQ(upstream.headers().get("x-request-id"), id);
      ids.insert(id);
    }
  }
  EXPECT_EQ(ids.size(), 4 * std::size(kDoors));
  Request traced = post(call_tool());
  traced.headers.set("traceparent", kTraceParent);
  EXPECT_EQ(house.client(DoorChoice::kGrpc)->call(traced)->headers.get("x-request-id"), kTrace);
  EXPECT_EQ(upstream.headers().get("x-request-id"), "");
}

TEST(Trace, a_call_that_fails_or_is_slow_stands_in_the_log_with_its_id) {
  ComingAndGoing upstream;
  std::string config = upstream.config();
  config.insert(1, R"("limits": {"slowCallMs": 50}, )");
  config.insert(config.find(R"("far")"), R"("here": {"builtin": true}, )");
  const House house({.config = config});
  Request failing = post(call_tool());
  failing.headers.set("x-request-id", "failing\" call=1");
  EXPECT_EQ(house.client(DoorChoice::kGrpc)->call(failing)->status, 502);
  Request slow =
      post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"sleep","arguments":{"ms":60}}})");
  slow.headers.set("traceparent", kTraceParent);
  EXPECT_EQ(house.client(DoorChoice::kHttp)->call(slow)->status, 200);
  const auto told = [&](const std::string& line) {
    return eventually([&] { return house.log().find(line) != std::string::npos; });
  };
  EXPECT_TRUE(told("call failed request_id=failing??call?1 door=grpc method=tools/call status=502")) << house.log();
  EXPECT_TRUE(told(std::string("call was slow request_id=") + kTrace + " door=http method=tools/call status=200"))
      << house.log();
}

TEST(Secrets, stand_in_no_log_no_status_no_metrics_and_no_command_line) {
  ComingAndGoing upstream;
  upstream.start();
  const House house({.config = upstream.config(R"(, "headers": {"x-api-key": "s3cret-of-the-upstream"})"),
                     .environment = {"RINGSIDE_LOG_LEVEL=debug"}});
  for (const DoorChoice door : kDoors) {
    const auto client = house.client(door);
    for (const std::string& session : {std::string(), std::string("s3cret-session")}) {
      Request request = post(call_tool(), session);
      request.headers.set("authorization", "Bearer s3cret-bearer");
      request.headers.set("cookie", "s3cret-cookie");
      request.auth_encoded = "eyJzdWIiOiJzM2NyZXQtY29udGV4dCJ9";
      ASSERT_TRUE(client->call(request).ok());
    }
    ASSERT_TRUE(client->call(post(R"({"jsonrpc":"2.0","id":1,"method":"s3cret-method"})")).ok());
    ASSERT_TRUE(client->call(post("s3cret-body")).ok());
  }
  EXPECT_EQ(upstream.headers().get("x-api-key"), "s3cret-of-the-upstream");
  upstream.stop();
  ASSERT_TRUE(house.client(DoorChoice::kGrpc)->call(post(call_tool())).ok());
  std::string all = house.log() + house.status().DebugString() + fetch_page(house.socket("metrics.sock"));
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string line = read_file(entry.path().string() + "/cmdline");
    if (line.find(house.dir()) != std::string::npos) all += line;
  }
  for (const char* secret : {"s3cret", "eyJzdWIiOiJzM2NyZXQtY29udGV4dCJ9"}) {
    EXPECT_EQ(all.find(secret), std::string::npos) << all.substr(all.find(secret) - 200, 400);
  }
}

TEST(Secrets, are_left_out_of_a_debug_bundle_that_has_everything_else) {
  ComingAndGoing upstream;
  const std::string config = upstream.config(R"(, "headers": {"x-api-key": "s3cret"})");
  const House house({.config = config});
  const TempDir folder;
  write_file(folder.file("ringside.json"), config);
  const std::string file = folder.file("bundle.tar.gz");
  const auto bundled = run({program("ringside"), "debug-bundle", "--runtime-dir", house.dir(), "--config",
                            folder.file("ringside.json"), "--output", file});
  EXPECT_EQ(bundled.out, file + "\n") << bundled.err;
  EXPECT_EQ(run({"stat", "-c", "%a", file}).out, "600\n");
  EXPECT_EQ(run({"tar", "-xzf", file, "-C", folder.path()}).exit_code, 0);
  std::string all;
  for (const char* name : {"versions.txt", "kernel.txt", "status.txt", "status.json", "events.txt", "events.jsonl",
                           "health.txt", "metrics.txt", "configuration.json"}) {
    const std::string text = read_file(folder.file(name));
    EXPECT_FALSE(text.empty()) << name;
    all += text;
  }
  EXPECT_EQ(all.find("s3cret"), std::string::npos);
  EXPECT_NE(all.find("ringside_build_info"), std::string::npos);
  EXPECT_NE(read_file(folder.file("events.txt")).find(" worker 0 ready: "), std::string::npos);
  EXPECT_NE(all.find("[redacted]"), std::string::npos);
}

}  // namespace
}  // namespace ringside::test
