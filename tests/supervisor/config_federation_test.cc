#include "supervisor/config_federation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/config.h"

namespace ringside::supervisor {
namespace {

using testing::ElementsAre;

LoadedConfig parse(std::string_view text) { return parse_config(text, "r.json", {}); }

TEST(ConfigFederation, every_key_reaches_the_worker_wherever_it_stands) {
  const auto loaded = parse(R"({
    "servers": {"team": {"upstreams": ["b"], "tools": ["t"], "require": {"tools/call": "tools.execute"}}, "all": {}},
    "federation": {"names": "always", "separator": "__", "patienceMs": 50},
    "store": {"kind": "redis", "url": "unix:/run/redis.sock"},
    "mcpServers": {"a": {"builtin": true}, "b": {"builtin": true}}
  })");
  EXPECT_THAT(loaded.errors, ElementsAre());
  const auto worker = to_worker_config(loaded.config, 0, "/run/x", "1");
  EXPECT_EQ(worker.federation().ShortDebugString(), R"(names: "always" separator: "__" patience_ms: 50)");
  ASSERT_EQ(worker.servers_size(), 2);
  EXPECT_EQ(worker.servers(0).ShortDebugString(),
            R"(id: "team" upstreams: "b" tools: "t" require { key: "tools/call" value: "tools.execute" })");
  EXPECT_EQ(worker.servers(1).ShortDebugString(), R"(id: "all")");
  EXPECT_EQ(worker.store().ShortDebugString(), R"(kind: "redis" url: "unix:/run/redis.sock")");
}

TEST(ConfigFederation, what_is_wrong_is_told_with_its_path) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {R"({"federation": {"names": "best"}})",
       "r.json:1: federation.names: expected one of collisions, always, first, got \"best\""},
      {R"({"federation": {"separator": "/"}})",
       "r.json:1: federation.separator: expected 1 to 4 letters, digits, '_', '.' or '-', got \"/\""},
      {R"({"federation": {"patienceMs": 0}})",
       "r.json:1: federation.patienceMs: expected an integer from 1 to 600000, got 0"},
      {R"({"servers": {"": {}}})",
       "r.json:1: servers[\"\"]: expected a server's id: not an empty one, which stands for all there is"},
      {R"({"servers": {"s": {"upstreams": ["x"]}}, "mcpServers": {"x": {"command": "c", "disabled": true}}})",
       "r.json:1: servers.s.upstreams[0]: expected a server of mcpServers that is not disabled, got \"x\""},
      {R"({"servers": {"s": {"upstreams": []}}})",
       "r.json:1: servers.s.upstreams: expected at least one server; leave the key out for all of them"},
      {R"({"servers": {"s": {"tools": []}}})",
       "r.json:1: servers.s.tools: expected at least one tool; leave the key out for all of them"},
      {R"({"store": {"kind": "redis"}})", "r.json:1: store: expected url beside kind redis: unix:/PATH or HOST:PORT"},
      {R"({"store": {"url": "h:1"}})", "r.json:1: store: url is for kind redis only"},
      {R"({"store": {"kind": "redis", "url": "unix:x"}})",
       "r.json:1: store.url: expected unix:/PATH or HOST:PORT, got \"unix:x\""},
      {R"({"store": {"kind": "redis", "url": "h:65536"}})",
       "r.json:1: store.url: expected unix:/PATH or HOST:PORT, got \"h:65536\""},
  };
  for (const auto& [text, error] : cases) EXPECT_THAT(parse(text).errors, ElementsAre(error)) << text;
}

}  // namespace
}  // namespace ringside::supervisor
