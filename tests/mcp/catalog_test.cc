#include "mcp/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ringside::mcp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> named(std::initializer_list<const char*> names) {
  std::vector<std::string> tools;
  for (const char* name : names) tools.push_back(nlohmann::json{{"name", name}}.dump());
  return tools;
}

/// "shown→upstream:name" of every tool, in the list's order; every one of them must have its route.
std::vector<std::string> merged(const std::vector<UpstreamTools>& lists, const ToolCatalog& catalog) {
  std::vector<std::string> out;
  const auto array = nlohmann::json::parse(catalog.tools_array);
  EXPECT_EQ(array.size(), catalog.routes.size());
  for (const auto& tool : array) {
    const auto shown = tool["name"].get<std::string>();
    const auto& route = catalog.routes.at(shown);
    out.push_back(shown + "→" + lists[route.upstream].upstream + ":" + route.name);
  }
  return out;
}

TEST(Catalog, of_nothing_is_an_empty_list) {
  EXPECT_EQ(merge_tools({}).tools_array, "[]");
  EXPECT_EQ(merge_tools({{"a", {}}, {"b", {}}}).tools_array, "[]");
}

TEST(Catalog, unique_names_and_all_bytes_stay) {
  const std::string first = "{ \"description\":\"x\\u0041\", \"name\" : \"e\\u0063ho\",\"big\":12345678901234567890 }";
  const std::string second = R"({"name":"add","x":1e2})";
  const ToolCatalog catalog = merge_tools({{"a", {first}}, {"b", {second}}});
  EXPECT_EQ(catalog.tools_array, "[" + first + "," + second + "]");
  EXPECT_EQ(catalog.routes.at("echo").name, "echo");
  EXPECT_THAT(catalog.dropped, IsEmpty());
}

TEST(Catalog, colliding_names_are_all_prefixed_and_nothing_else_changes) {
  const std::vector<UpstreamTools> lists = {{"a", {"{ \"name\" :\t\"echo\" , \"n\":1.0}"}},
                                            {"b", {R"({"x":{"name":"inner"},"name":"echo"})", R"({"name":"add"})"}}};
  const ToolCatalog catalog = merge_tools(lists);
  EXPECT_EQ(
      catalog.tools_array,
      "[{ \"name\" :\t\"a-echo\" , \"n\":1.0},{\"x\":{\"name\":\"inner\"},\"name\":\"b-echo\"},{\"name\":\"add\"}]");
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-echo→a:echo", "b-echo→b:echo", "add→b:add"));
}

TEST(Catalog, a_plain_name_yields_to_a_prefixed_one) {
  const std::vector<UpstreamTools> lists = {{"a", named({"echo", "b-echo"})}, {"b", named({"echo"})}};
  const ToolCatalog catalog = merge_tools(lists);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-echo→a:echo", "a-b-echo→a:b-echo", "b-echo→b:echo"));
  EXPECT_THAT(catalog.dropped, IsEmpty());
}

TEST(Catalog, yielding_goes_on_until_nothing_collides) {
  const std::vector<UpstreamTools> lists = {{"a", named({"t", "a-t", "a-a-t", "a-a-a-t"})},
                                            {"b", named({"t", "free"})}};
  const ToolCatalog catalog = merge_tools(lists);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-t→a:t", "a-a-t→a:a-t", "a-a-a-t→a:a-a-t", "a-a-a-a-t→a:a-a-a-t",
                                                  "b-t→b:t", "free→b:free"));
}

TEST(Catalog, of_two_equal_prefixed_names_the_first_upstream_keeps_it) {
  const std::vector<UpstreamTools> lists = {{"a", named({"b-c", "c"})}, {"a-b", named({"c"})}, {"x", named({"b-c"})}};
  const ToolCatalog catalog = merge_tools(lists);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-b-c→a:b-c", "a-c→a:c", "x-b-c→x:b-c"));
  EXPECT_THAT(catalog.dropped, ElementsAre("a-b/c"));
}

TEST(Catalog, a_tool_that_an_upstream_lists_twice_counts_once) {
  const std::vector<UpstreamTools> lists = {{"a", {R"({"name":"t","v":1})", R"({"name":"\u0074","v":2})"}}};
  const ToolCatalog catalog = merge_tools(lists);
  EXPECT_EQ(catalog.tools_array, R"([{"name":"t","v":1}])");
  EXPECT_THAT(catalog.dropped, ElementsAre("a/t"));
}

TEST(Catalog, tools_without_one_name_are_dropped_and_listed) {
  const ToolCatalog catalog = merge_tools({{"a",
                                            {R"({"title":"x"})", R"({"name":7})", R"({"name":""})",
                                             R"({"name":"x","name":"y"})", "7", R"({"name":"ok"})"}}});
  EXPECT_EQ(catalog.tools_array, R"([{"name":"ok"}])");
  EXPECT_THAT(catalog.dropped, ElementsAre("a/(no name)", "a/(no name)", "a/(no name)", "a/(no name)", "a/(no name)"));
}

TEST(Catalog, a_name_that_needs_escapes_is_written_with_them) {
  const std::vector<UpstreamTools> lists = {{"a", named({"q\"\\\n"})}, {"b", named({"q\"\\\n"})}};
  EXPECT_THAT(merged(lists, merge_tools(lists)), ElementsAre("a-q\"\\\n→a:q\"\\\n", "b-q\"\\\n→b:q\"\\\n"));
}

/// A chain that frees one name after the other beside many tools that never move.
TEST(Catalog, a_hostile_list_costs_no_more_than_its_length) {
  UpstreamTools a{"a", {}};
  std::string name = "t";
  for (int i = 0; i < 1000; ++i, name = "a-" + name) a.tools.push_back(R"({"name":")" + name + "\"}");
  for (int i = 0; i < 100'000; ++i) a.tools.push_back(R"({"name":"n)" + std::to_string(i) + "\"}");
  const ToolCatalog catalog = merge_tools({a, {"b", named({"t"})}});
  EXPECT_EQ(catalog.routes.size(), 101'001U);
  EXPECT_THAT(catalog.dropped, IsEmpty());
  EXPECT_EQ(catalog.routes.at("a-t").name, "t");
}

}  // namespace
}  // namespace ringside::mcp
