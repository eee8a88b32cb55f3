// What an operator may say of one server, and what is said to whoever gets it wrong.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "supervisor/config.h"

namespace ringside::supervisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LoadedConfig of_server(const std::string& entry) {
  return parse_config(R"({"mcpServers": {"a": )" + entry + "}}", "r.json", {});
}

TEST(ConfigServers, limits_and_sharing_are_said_of_both_real_kinds) {
  for (const char* kind : {R"("command": "x")", R"("url": "http://x/mcp")"}) {
    const auto loaded =
        of_server(std::string("{") + kind + R"(, "shared": true, "timeoutMs": 1500, "concurrency": 3})");
    ASSERT_THAT(loaded.errors, IsEmpty());
    EXPECT_THAT(loaded.warnings, IsEmpty());
    const auto& upstream = loaded.config.upstreams.at(0);
    EXPECT_TRUE(upstream.shared());
    EXPECT_EQ(upstream.timeout_ms(), 1500U);
    EXPECT_EQ(upstream.concurrency(), 3U);
  }
  EXPECT_THAT(of_server(R"({"command": "x", "concurrency": 0})").errors,
              ElementsAre(HasSubstr("expected an integer from 1 to 100000, got 0")));
  EXPECT_THAT(of_server(R"({"builtin": true, "shared": true})").warnings,
              ElementsAre(HasSubstr("not used by a server of this kind")));
}

TEST(ConfigServers, the_way_to_a_server_is_read) {
  const auto loaded = of_server(R"({"url": "https://api.example.com/mcp", "proxy": "http://proxy:3128",
    "tls": {"ca": "/etc/ca.pem", "cert": "/etc/me.pem", "key": "/etc/me.key"},
    "allowHosts": ["*.example.com"], "blockNetworks": ["10.0.0.0/8", "fe80::/10"]})");
  ASSERT_THAT(loaded.errors, IsEmpty());
  const auto& http = loaded.config.upstreams.at(0).http();
  EXPECT_EQ(http.ca_file(), "/etc/ca.pem");
  EXPECT_EQ(http.client_cert(), "/etc/me.pem");
  EXPECT_EQ(http.client_key(), "/etc/me.key");
  EXPECT_EQ(http.proxy(), "http://proxy:3128");
  EXPECT_THAT(http.block_networks(), ElementsAre("10.0.0.0/8", "fe80::/10"));
}

TEST(ConfigServers, addresses_of_metadata_services_are_blocked_unless_the_operator_says_otherwise) {
  EXPECT_THAT(of_server(R"({"url": "http://x"})").config.upstreams.at(0).http().block_networks(),
              ElementsAre("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"));
  EXPECT_THAT(of_server(R"({"url": "http://x", "blockNetworks": []})").config.upstreams.at(0).http().block_networks(),
              IsEmpty());
}

TEST(ConfigServers, an_url_beyond_the_allowed_hosts_is_an_error_that_names_the_host) {
  const auto errors = [](const std::string& url, const std::string& allowed) {
    return of_server(R"({"url": ")" + url + R"(", "allowHosts": [")" + allowed + "\"]}").errors;
  };
  EXPECT_THAT(errors("https://API.example.com:444/mcp?x#y", "api.example.com"), IsEmpty());
  EXPECT_THAT(errors("http://user:pass@api.example.com/", "*.Example.com"), IsEmpty());
  EXPECT_THAT(errors("http://[fe80::1]:80/mcp", "fe80::1"), IsEmpty());
  EXPECT_THAT(errors("http://example.com/", "*.example.com"),
              ElementsAre(HasSubstr("whose host is one of allowHosts, got \"example.com\"")));
  EXPECT_THAT(errors("http://api.example.com@evil.com/", "api.example.com"), ElementsAre(HasSubstr("\"evil.com\"")));
  EXPECT_THAT(errors("http://evilexample.com/", "*.example.com"), ElementsAre(HasSubstr("\"evilexample.com\"")));
}

TEST(ConfigServers, mistakes_are_told) {
  EXPECT_THAT(of_server(R"({"url": "http://x", "blockNetworks": ["10.0.0.0/33"]})").errors,
              ElementsAre(HasSubstr("expected a network such as 10.0.0.0/8")));
  EXPECT_THAT(of_server(R"({"url": "https://x", "tls": {"key": "/k"}})").errors,
              ElementsAre(HasSubstr("expected cert beside key")));
  EXPECT_THAT(of_server(R"({"url": "https://x", "tls": {"cart": "/k"}})").errors,
              ElementsAre(HasSubstr("did you mean \"cert\"")));
}

}  // namespace
}  // namespace ringside::supervisor
