#include "supervisor/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"

namespace ringside::supervisor {
namespace {

using testing::ElementsAre;

LoadedConfig parse(std::string_view text, const ConfigEnvironment& environment = {}) {
  return parse_config(text, "r.json", environment);
}

std::vector<std::string> errors_of(std::string_view text) { return parse(text).errors; }

TEST(Config, an_empty_object_is_the_built_in_defaults) {
  const auto loaded = parse("{}");
  EXPECT_THAT(loaded.errors, ElementsAre());
  const Config& config = loaded.config;
  EXPECT_EQ(config.workers, 2U);
  EXPECT_THAT(config.doors, ElementsAre("ring", "handle", "grpc", "http"));
  EXPECT_EQ(config.limits.body_bytes(), 67108864U);
  EXPECT_EQ(config.limits.call_timeout_ms(), 60000U);
  EXPECT_EQ(config.limits.session_ttl_ms(), 3600000U);
  EXPECT_EQ(config.limits.upstream_connections(), 8U);
  EXPECT_EQ(config.limits.catalog_ttl_ms(), 30000U);
  EXPECT_EQ(config.rings.max_rings(), 64U);
  EXPECT_EQ(config.rings.segment_bytes(), 4194304U);
  EXPECT_EQ(config.mode, "full");
  EXPECT_EQ(config.log_level, "info");
  EXPECT_FALSE(config.transport_echo);
  EXPECT_TRUE(config.upstreams.empty());
  EXPECT_TRUE(config.peers.users.empty());
}

TEST(Config, every_key_is_read_and_reaches_the_worker) {
  const auto loaded = parse(R"({
    /* as an MCP client has it */
    "mcpServers": {
      "time": {"command": "uvx", "args": ["mcp-server-time", ""], "env": {"TZ": "UTC"}, "cwd": "/srv", "type": "stdio"},
      "a.b-c_1": {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer t"}, "type": "streamableHttp"},
      "builtin": {"builtin": true},
      "old": {"command": "x", "disabled": true, "autoApprove": []}
    },
    "workers": 3, "doors": ["http", "ring", "http"],
    "limits": {"bodyBytes": 1000, "callTimeoutMs": 5, "sessionTtlSeconds": 7, "upstreamConnections": 9, "slowCallMs": 20,
               "catalogTtlSeconds": 0, "callsPerWorker": 12, "callsPerOwner": 3, "eventsPerStream": 4,
               "eventTtlSeconds": 6, "pageEntries": 8, "conversationsPerUpstream": 10, "childrenPerUpstream": 2},
    "lives": {"startMs": 101, "drainMs": 102, "stuckMs": 103, "forgivenMs": 104, "breakerPauseMs": 105,
              "breakerFailures": 6, "recycleCalls": 7, "recycleRssBytes": 8},
    "rings": {"perWorker": 2, "segmentBytes": 1048576, "spinUs": 11},
    "peers": {"users": ["root", 1000], "groups": ["root", 50]},
    "logLevel": "debug", "transportEcho": true, "coreDumps": "full", "mode": "off" // and that is all
  })");
  EXPECT_THAT(loaded.errors, ElementsAre());
  EXPECT_THAT(loaded.warnings, ElementsAre());
  EXPECT_EQ(loaded.config.workers, 3U);
  EXPECT_THAT(loaded.config.peers.users, ElementsAre(0U, 1000U));
  EXPECT_THAT(loaded.config.peers.groups, ElementsAre(0U, 50U));
  const auto worker = to_worker_config(loaded.config, 2, "/run/x", "1.2");
  EXPECT_EQ(
      worker.ShortDebugString(),
      "worker_index: 2 runtime_dir: \"/run/x\" version: \"1.2\" log_level: \"debug\" doors: \"http\" doors: \"ring\" "
      "limits { body_bytes: 1000 call_timeout_ms: 5 session_ttl_ms: 7000 upstream_connections: 9 "
      "calls_per_worker: 12 calls_per_owner: 3 slow_call_ms: 20 events_per_stream: 4 event_ttl_ms: 6000 "
      "page_entries: 8 conversations_per_upstream: 10 children_per_upstream: 2 } "
      "upstreams { name: \"time\" stdio { command: \"uvx\" args: \"mcp-server-time\" args: \"\" "
      "env { key: \"TZ\" value: \"UTC\" } cwd: \"/srv\" } } "
      "upstreams { name: \"a.b-c_1\" http { url: \"https://x.example/mcp\" "
      "headers { key: \"Authorization\" value: \"Bearer t\" } block_networks: \"169.254.0.0/16\" "
      "block_networks: \"fe80::/10\" block_networks: \"fd00:ec2::254/128\" } } "
      "upstreams { name: \"builtin\" builtin { } } "
      "rings { max_rings: 2 segment_bytes: 1048576 spin_us: 11 } transport_echo: true mode: \"off\" "
      "federation { } edge { require_session: true } full_core_dumps: true");
  const PolicyOptions& lives = loaded.config.lives;
  const auto ms = [](int count) { return Duration(std::chrono::milliseconds(count)); };
  EXPECT_THAT((std::vector{lives.start_limit, lives.drain_within, lives.stuck_within, lives.forgiven_after,
                           lives.breaker_pause}),
              ElementsAre(ms(101), ms(102), ms(103), ms(104), ms(105)));
  EXPECT_EQ(lives.breaker_after, 6U);
  EXPECT_EQ(lives.recycle_calls, 7U);
  EXPECT_EQ(lives.recycle_rss_bytes, 8U);
}

TEST(Config, syntax_errors_name_line_and_column) {
  EXPECT_THAT(errors_of("{\"workers\": 3,\n  \"doors\": [\"ring\" \"grpc\"]}"),
              ElementsAre("r.json:2:20: syntax error while parsing array - unexpected string literal; expected ']'"));
  EXPECT_THAT(errors_of("{\"a\":"),
              ElementsAre("r.json:1:6: syntax error while parsing value - unexpected end of input; "
                          "expected '[', '{', or a literal"));
  EXPECT_THAT(errors_of(""),
              ElementsAre("r.json:1:1: syntax error while parsing value - unexpected end of input; expected "
                          "'[', '{', or a literal"));
  EXPECT_EQ(errors_of("{\"a\": \"\xff\"}").size(), 1U) << "invalid UTF-8";
  EXPECT_EQ(errors_of("{\"a\": 1e999}").size(), 1U) << "a number that is none";
}

TEST(Config, nesting_has_a_bottom) {
  EXPECT_THAT(errors_of(std::string(33, '[')), ElementsAre(testing::EndsWith("nested deeper than 32 levels")));
  EXPECT_THAT(errors_of(std::string(100000, '[')).size(), 1U);
}

TEST(Config, a_key_that_stands_twice_is_refused_at_any_depth_with_its_line) {
  EXPECT_THAT(errors_of("{\"workers\": 1,\n\"workers\": 2}"),
              ElementsAre("r.json:2: workers: the same key twice; it stands in line 1 already"));
  EXPECT_THAT(
      errors_of("{\"mcpServers\": {\n\"a\": {\"builtin\": true},\n\"b c\": 1,\n\"a\": {\"builtin\": true}}}"),
      ElementsAre("r.json:3: mcpServers[\"b c\"]: expected a server's name of letters, digits, '_', '.' and '-', and "
                  "not an empty one",
                  "r.json:4: mcpServers.a: the same key twice; it stands in line 2 already"));
  EXPECT_THAT(
      errors_of("{\"mcpServers\": {\"a\": {\"command\": \"x\", \"args\": [\"\"],\n \"env\": {\"A\": \"\", \"A\": "
                "\"\"}}}}"),
      ElementsAre("r.json:2: mcpServers.a.env.A: the same key twice; it stands in line 2 already"));
}

TEST(Config, an_unknown_key_is_an_error_that_names_the_nearest_one) {
  EXPECT_THAT(errors_of(R"({"worker": 1})"), ElementsAre("r.json:1: worker: unknown key; did you mean \"workers\"?"));
  EXPECT_THAT(errors_of(R"({"mcp_servers": {}})"),
              ElementsAre("r.json:1: mcp_servers: unknown key; did you mean \"mcpServers\"?"));
  EXPECT_THAT(errors_of(R"({"limits": {"bodybytes": 1}})"),
              ElementsAre("r.json:1: limits.bodybytes: unknown key; did you mean \"bodyBytes\"?"));
  EXPECT_THAT(errors_of(R"({"peers": {"everybody": true}})"),
              ElementsAre("r.json:1: peers.everybody: unknown key; known here are users, groups"));
}

TEST(Config, wrong_types_and_ranges_say_what_was_expected) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {R"([])", "r.json:1: expected an object, got an array"},
      {R"({"workers": 0})", "r.json:1: workers: expected an integer from 1 to 64, got 0"},
      {R"({"workers": 65})", "r.json:1: workers: expected an integer from 1 to 64, got 65"},
      {R"({"workers": -1})", "r.json:1: workers: expected an integer from 1 to 64, got -1"},
      {R"({"workers": "2"})", "r.json:1: workers: expected an integer from 1 to 64, got a string"},
      {R"({"workers": 1.5})",
       "r.json:1: workers: expected an integer from 1 to 64, got a number that is no integer of 64 bits"},
      {R"({"workers": 18446744073709551615})",
       "r.json:1: workers: expected an integer from 1 to 64, got a number that is no integer of 64 bits"},
      {R"({"workers": null})", "r.json:1: workers: expected an integer from 1 to 64, got null"},
      {R"({"transportEcho": 1})", "r.json:1: transportEcho: expected true or false, got a number"},
      {R"({"logLevel": true})", "r.json:1: logLevel: expected one of debug, info, warn, error, off, got true or false"},
      {R"({"logLevel": "loud"})", "r.json:1: logLevel: expected one of debug, info, warn, error, off, got \"loud\""},
      {R"({"mode": "shadow"})",
       "r.json:1: mode: expected one of off, full; \"shadow\" is refused until it does something"},
      {R"({"mode": "edge"})",
       "r.json:1: mode: expected one of off, full; \"edge\" is refused until there is a core to pass calls on to"},
      {R"({"mode": "x"})", "r.json:1: mode: expected one of off, full, got \"x\""},
      {R"({"limits": []})", "r.json:1: limits: expected an object, got an array"},
      {R"({"rings": {"segmentBytes": 1048577}})",
       "r.json:1: rings.segmentBytes: expected a multiple of 4096, got 1048577"},
      {R"({"rings": {"segmentBytes": 4096}})",
       "r.json:1: rings.segmentBytes: expected an integer from 1048576 to 8388608, got 4096"},
      {R"({"doors": []})",
       "r.json:1: doors: expected at least one of ring, handle, grpc, http; a runtime without a door serves nobody"},
      {R"({"doors": ["ring", "grcp"]})", "r.json:1: doors[1]: expected one of ring, handle, grpc, http, got \"grcp\""},
      {R"({"doors": [7]})", "r.json:1: doors[0]: expected a string, got a number"},
      {R"({"doors": "ring"})", "r.json:1: doors: expected an array of doors (ring, handle, grpc, http), got a string"},
      {R"({"peers": {"users": "x"}})",
       "r.json:1: peers.users: expected an array of names and numbers of users, got a string"},
      {R"({"peers": {"users": [true]}})",
       "r.json:1: peers.users[0]: expected the name or number of a user, got true or false"},
      {R"({"peers": {"users": [-1]}})", "r.json:1: peers.users[0]: expected an integer from 0 to 4294967294, got -1"},
      {R"({"peers": {"groups": ["no-such-group"]}})",
       "r.json:1: peers.groups[0]: expected a group of this machine, got \"no-such-group\""},
  };
  for (const auto& [text, error] : cases) EXPECT_THAT(errors_of(text), ElementsAre(error)) << text;
}

TEST(Config, a_wrong_server_entry_says_what_was_expected) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {R"("": {"builtin": true})",
       "[\"\"]: expected a server's name of letters, digits, '_', '.' and '-', and not an empty one"},
      {R"("a": [])", ".a: expected an object with command, url or builtin, got an array"},
      {R"("a": {})", ".a: expected command (a program), url (an HTTP server) or builtin, got none of them"},
      {R"("a": {"cmd": "x"})", ".a: expected command (a program), url (an HTTP server) or builtin, got none of them"},
      {R"("a": {"Command": "x"})",
       ".a: expected command (a program), url (an HTTP server) or builtin, got none of them; did you mean \"command\" "
       "by "
       "\"Command\"?"},
      {R"("a": {"command": "x", "url": "http://x"})", ".a: expected only one of command, url and builtin, got 2"},
      {R"("a": {"command": ""})", ".a.command: expected a string that is not empty"},
      {"\"a\": {\"command\": \"a\\u0000b\"}", ".a.command: expected a string without a zero byte"},
      {R"("a": {"command": 1})", ".a.command: expected a string, got a number"},
      {R"("a": {"command": "x", "args": ["y", 1]})", ".a.args[1]: expected a string, got a number"},
      {R"("a": {"command": "x", "args": "y"})", ".a.args: expected an array of strings, got a string"},
      {R"("a": {"command": "x", "env": []})", ".a.env: expected an object of strings, got an array"},
      {R"("a": {"command": "x", "env": {"A": 1}})", ".a.env.A: expected a string, got a number"},
      {R"("a": {"command": "x", "env": {"A=B": ""}})",
       ".a.env[\"A=B\"]: expected the name of an environment variable: not empty, without '='"},
      {R"("a": {"command": "x", "type": "http"})", ".a.type: expected one of stdio, got \"http\""},
      {R"("a": {"url": "http://x", "type": "sse"})",
       ".a.type: expected one of http, streamable-http, streamableHttp, got \"sse\""},
      {R"("a": {"url": "x.example/mcp"})", ".a.url: expected an http:// or https:// URL, got \"x.example/mcp\""},
      {R"("a": {"url": "http://"})", ".a.url: expected an http:// or https:// URL, got \"http://\""},
      {R"("a": {"url": "http://x y"})", ".a.url: expected an http:// or https:// URL, got \"http://x y\""},
      {R"("a": {"url": {}})", ".a.url: expected an http:// or https:// URL, got an object"},
      {R"("a": {"url": "http://x", "headers": {"A b": "c"}})",
       ".a.headers[\"A b\"]: expected the name of an HTTP header"},
      {"\"a\": {\"url\": \"http://x\", \"headers\": {\"A\": \"c\\nd\"}}",
       ".a.headers.A: expected a header's value: no control characters"},
      {R"("a": {"url": "http://x", "headers": {"A": "c", "a": "d"}})",
       ".a.headers.a: the same header twice, in other letters"},
      {R"("a": {"url": "http://x", "headers": {"A": 1}})", ".a.headers.A: expected a string, got a number"},
      {R"("a": {"builtin": false})", ".a.builtin: expected true"},
      {R"("a": {"command": "x", "disabled": "yes"})", ".a.disabled: expected true or false, got a string"},
  };
  for (const auto& [entry, error] : cases) {
    const std::string text = "{\"mcpServers\": {" + std::string(entry) + "}}";
    EXPECT_THAT(errors_of(text), ElementsAre("r.json:1: mcpServers" + std::string(error))) << text;
  }
}

TEST(Config, all_problems_are_told_at_once_in_the_order_of_the_file) {
  EXPECT_THAT(errors_of("{\"workers\": 0,\n\"mode\": 1,\n\"mode\": \"full\",\n\"nonsense\": 1}"),
              ElementsAre(testing::StartsWith("r.json:1: workers"), testing::StartsWith("r.json:2: mode"),
                          testing::StartsWith("r.json:3: mode"), testing::StartsWith("r.json:4: nonsense")));
}

TEST(Config, members_that_mcp_clients_write_are_tolerated_with_a_warning) {
  const auto loaded = parse(R"({"mcpServers": {
    "a": {"command": "x", "timeout": 3, "headers": {}},
    "b": {"url": "http://x", "header": {}}}})");
  EXPECT_THAT(loaded.errors, ElementsAre());
  EXPECT_THAT(loaded.warnings,
              ElementsAre("r.json:2: mcpServers.a.timeout: not used by Ringside, ignored; did you mean \"timeoutMs\"?",
                          "r.json:2: mcpServers.a.headers: not used by a server of this kind, ignored",
                          "r.json:3: mcpServers.b.header: not used by Ringside, ignored; did you mean \"headers\"?"));
  EXPECT_EQ(loaded.config.upstreams.size(), 2U);
}

TEST(Config, the_environment_stands_above_the_file) {
  const auto loaded =
      parse(R"({"doors": ["ring"], "logLevel": "debug"})", {.doors = " http,grpc ,http", .log_level = "ERROR"});
  EXPECT_THAT(loaded.errors, ElementsAre());
  EXPECT_THAT(loaded.config.doors, ElementsAre("http", "grpc"));
  EXPECT_EQ(loaded.config.log_level, "error");
  EXPECT_THAT(parse("{}", {.doors = " ,", .log_level = "loud"}).errors,
              ElementsAre("RINGSIDE_LOG_LEVEL: expected one of debug, info, warn, error, off, got \"loud\"",
                          "RINGSIDE_DOORS: expected a comma list of ring, handle, grpc, http, got none"));
  EXPECT_THAT(parse("{}", {.doors = "grpc,htpp", .log_level = {}}).errors,
              ElementsAre("RINGSIDE_DOORS: expected one of ring, handle, grpc, http, got \"htpp\""));
}

TEST(Config, a_file_that_cannot_be_read_is_named_with_the_reason) {
  const test::TempDir folder;
  const auto missing = load_config(folder.file("none.json"), {});
  EXPECT_THAT(missing.errors, ElementsAre(folder.file("none.json") + ": cannot be read: No such file or directory"));
  EXPECT_THAT(load_config(folder.path(), {}).errors,
              ElementsAre(folder.path() + ": cannot be read: it is not a regular file"));
  test::write_file(folder.file("big.json"), std::string((8U << 20U) + 1, ' '));
  EXPECT_THAT(load_config(folder.file("big.json"), {}).errors,
              ElementsAre(folder.file("big.json") + ": cannot be read: it is longer than 8 MiB"));
}

TEST(CheckConfig, it_says_fine_or_all_errors_and_exits_with_0_or_2) {
  const test::TempDir folder;
  const std::string file = folder.file("r.json");
  test::write_file(file, R"({"workers": 3, "mcpServers": {"a": {"command": "x", "extra": 1}}})");
  const auto fine = test::run({test::program("ringsided"), "--check-config", "--config", file});
  EXPECT_EQ(fine.exit_code, 0);
  EXPECT_EQ(fine.out, file + ": fine\n");
  EXPECT_EQ(fine.err, file + ":1: mcpServers.a.extra: not used by Ringside, ignored\n");
  test::write_file(file, R"({"workers": 0, "mode": 1})");
  const auto wrong = test::run({test::program("ringsided"), "--check-config", "--config", file});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_EQ(wrong.out, "");
  EXPECT_EQ(wrong.err, file + ":1: workers: expected an integer from 1 to 64, got 0\n" + file +
                           ":1: mode: expected one of off, full, got a number\n");
  const auto started = test::run({test::program("ringsided"), "--config", file, "--runtime-dir", folder.file("run")});
  EXPECT_EQ(started.exit_code, 2);
  EXPECT_EQ(started.err, wrong.err);
}

TEST(CommandLine, wrong_usage_is_exit_2_and_help_and_version_are_0) {
  EXPECT_EQ(test::run({test::program("ringsided"), "--workers", "0"}).exit_code, 2);
  EXPECT_EQ(test::run({test::program("ringsided"), "--nonsense"}).exit_code, 2);
  EXPECT_EQ(test::run({test::program("ringsided"), "--log-level", "loud"}).exit_code, 2);
  const auto version = test::run({test::program("ringsided"), "--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\n"));
  EXPECT_EQ(test::run({test::program("ringsided"), "--help"}).exit_code, 0);
  const auto fine =
      test::run({test::program("ringsided"), "--check-config"}, {}, {"RINGSIDE_DOORS=", "RINGSIDE_LOG_LEVEL="});
  EXPECT_EQ(fine.exit_code, 0) << "an empty variable counts as unset";
}

}  // namespace
}  // namespace ringside::supervisor
