#include "http/origin.h"

#include <gtest/gtest.h>

namespace ringside::http {
namespace {

TEST(Origin, this_machines_own_names_are_allowed_with_any_port) {
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]", "[::1]:65535"}) {
    EXPECT_TRUE(is_allowed_host(host, {})) << host;
    EXPECT_TRUE(is_allowed_origin(std::string("http://") + host, {})) << host;
    EXPECT_TRUE(is_allowed_origin(std::string("https://") + host, {})) << host;
  }
}

TEST(Origin, what_only_looks_like_them_is_refused) {
  for (const char* host : {"", "evil.example.com", "localhost.evil.example.com", "127.0.0.1.evil.example.com",
                           "evil.example.com:80", "localhost:", "localhost:80@evil", "localhost:8x", "[::1", "::1",
                           "127.0.0.2", "localhost/", "user@localhost"}) {
    EXPECT_FALSE(is_allowed_host(host, {})) << host;
    EXPECT_FALSE(is_allowed_origin(std::string("http://") + host, {})) << host;
  }
  for (const char* origin : {"null", "", "localhost", "file://localhost", "chrome-extension://localhost"}) {
    EXPECT_FALSE(is_allowed_origin(origin, {})) << origin;
  }
}

TEST(Origin, configured_names_are_allowed_beside_them) {
  const EdgeNames names{{"mcp.example.com", "other.example.com:8443"}, {"https://app.example.com"}};
  EXPECT_TRUE(is_allowed_host("MCP.example.com", names));
  EXPECT_TRUE(is_allowed_host("mcp.example.com:443", names));
  EXPECT_TRUE(is_allowed_host("other.example.com:8443", names));
  EXPECT_FALSE(is_allowed_host("other.example.com", names)) << "its port was named";
  EXPECT_TRUE(is_allowed_origin("https://APP.example.com", names));
  EXPECT_FALSE(is_allowed_origin("http://app.example.com", names)) << "an origin is its scheme too";
  EXPECT_FALSE(is_allowed_host("app.example.com", names));
}

}  // namespace
}  // namespace ringside::http
