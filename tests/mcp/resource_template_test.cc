#include "mcp/resource_template.h"

#include <gtest/gtest.h>

#include <string>

namespace ringside::mcp {
namespace {

TEST(ResourceTemplate, an_expression_stands_for_something_without_a_slash) {
  EXPECT_TRUE(matches_template("test://template/{id}/data", "test://template/123/data"));
  EXPECT_TRUE(matches_template("a://{x}{y}.{z}", "a://bc.d"));
  EXPECT_TRUE(matches_template("a://{x}-{y}", "a://1-2-3"));
  for (const std::string uri : {"test://template//data", "test://template/1/2/data", "test://template/1/data/",
                                "test://template/1/dat", "", "xtest://template/1/data"}) {
    EXPECT_FALSE(matches_template("test://template/{id}/data", uri)) << uri;
  }
}

TEST(ResourceTemplate, reserved_expansion_passes_slashes_and_a_query_may_be_missing) {
  EXPECT_TRUE(matches_template("file:///{+path}", "file:///a/b/c.txt"));
  EXPECT_FALSE(matches_template("file:///{+path}", "file:///"));
  EXPECT_TRUE(matches_template("a://x{?q,n}", "a://x"));
  EXPECT_TRUE(matches_template("a://x{?q,n}", "a://x?q=1/2&n=3"));
  EXPECT_FALSE(matches_template("a://x{?q,n}", "a://xyz"));
}

TEST(ResourceTemplate, without_an_expression_or_malformed_it_stands_for_itself) {
  EXPECT_TRUE(matches_template("a://x", "a://x"));
  EXPECT_FALSE(matches_template("a://x", "a://y"));
  EXPECT_TRUE(matches_template("a://{x", "a://{x"));
  EXPECT_FALSE(matches_template("a://{x", "a://1"));
  EXPECT_FALSE(matches_template("a://{}", "a://1"));
}

TEST(ResourceTemplate, a_hostile_template_costs_no_more_than_its_length_times_the_uris) {
  std::string uri_template;
  for (int i = 0; i < 1000; ++i) uri_template += "{a}a";
  EXPECT_FALSE(matches_template(uri_template, std::string(8000, 'a') + "b"));
  EXPECT_FALSE(matches_template("{+x}", std::string(10'000, 'a'))) << "beyond 8 KiB";
}

}  // namespace
}  // namespace ringside::mcp
