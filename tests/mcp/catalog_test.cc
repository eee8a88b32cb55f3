#include "mcp/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
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

MergedList merge(const std::vector<UpstreamList>& lists, const MergeOptions& options = {}) {
  std::vector<const UpstreamList*> views;
  for (const UpstreamList& list : lists) views.push_back(&list);
  return merge_lists(views, options);
}

/// "shown→upstream:name" of every entry, in the list's order; every one of them must have its route.
std::vector<std::string> merged(const std::vector<UpstreamList>& lists, const MergedList& catalog,
                                const std::string& key = "name") {
  std::vector<std::string> out;
  const auto array = nlohmann::json::parse(catalog.array);
  EXPECT_EQ(array.size(), catalog.routes.size());
  EXPECT_EQ(array.size(), catalog.starts.size());
  for (const auto& entry : array) {
    const auto shown = entry[key].get<std::string>();
    const auto& route = catalog.routes.at(shown);
    out.push_back(shown + "→" + lists[route.upstream].upstream + ":" + route.name);
  }
  return out;
}

TEST(Catalog, of_nothing_is_an_empty_list) {
  EXPECT_EQ(merge({}).array, "[]");
  EXPECT_EQ(merge({{"a", {}}, {"b", {}}}).array, "[]");
}

TEST(Catalog, unique_names_and_all_bytes_stay) {
  const std::string first = "{ \"description\":\"x\\u0041\", \"name\" : \"e\\u0063ho\",\"big\":12345678901234567890 }";
  const std::string second = R"({"name":"add","x":1e2})";
  const MergedList catalog = merge({{"a", {first}}, {"b", {second}}});
  EXPECT_EQ(catalog.array, "[" + first + "," + second + "]");
  EXPECT_EQ(catalog.routes.at("echo").name, "echo");
  EXPECT_THAT(catalog.dropped, IsEmpty());
}

TEST(Catalog, colliding_names_are_all_prefixed_and_nothing_else_changes) {
  const std::vector<UpstreamList> lists = {{"a", {"{ \"name\" :\t\"echo\" , \"n\":1.0}"}},
                                           {"b", {R"({"x":{"name":"inner"},"name":"echo"})", R"({"name":"add"})"}}};
  const MergedList catalog = merge(lists);
  EXPECT_EQ(
      catalog.array,
      "[{ \"name\" :\t\"a-echo\" , \"n\":1.0},{\"x\":{\"name\":\"inner\"},\"name\":\"b-echo\"},{\"name\":\"add\"}]");
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-echo→a:echo", "b-echo→b:echo", "add→b:add"));
}

TEST(Catalog, a_plain_name_yields_to_a_prefixed_one) {
  const std::vector<UpstreamList> lists = {{"a", named({"echo", "b-echo"})}, {"b", named({"echo"})}};
  const MergedList catalog = merge(lists);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-echo→a:echo", "a-b-echo→a:b-echo", "b-echo→b:echo"));
  EXPECT_THAT(catalog.dropped, IsEmpty());
}

TEST(Catalog, yielding_goes_on_until_nothing_collides) {
  const std::vector<UpstreamList> lists = {{"a", named({"t", "a-t", "a-a-t", "a-a-a-t"})}, {"b", named({"t", "free"})}};
  const MergedList catalog = merge(lists);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-t→a:t", "a-a-t→a:a-t", "a-a-a-t→a:a-a-t", "a-a-a-a-t→a:a-a-a-t",
                                                  "b-t→b:t", "free→b:free"));
}

TEST(Catalog, of_two_equal_prefixed_names_the_first_upstream_keeps_it) {
  const std::vector<UpstreamList> lists = {{"a", named({"b-c", "c"})}, {"a-b", named({"c"})}, {"x", named({"b-c"})}};
  const MergedList catalog = merge(lists);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a-b-c→a:b-c", "a-c→a:c", "x-b-c→x:b-c"));
  EXPECT_THAT(catalog.dropped, ElementsAre("a-b/c"));
}

TEST(Catalog, a_tool_that_an_upstream_lists_twice_counts_once) {
  const std::vector<UpstreamList> lists = {{"a", {R"({"name":"t","v":1})", R"({"name":"\u0074","v":2})"}}};
  const MergedList catalog = merge(lists);
  EXPECT_EQ(catalog.array, R"([{"name":"t","v":1}])");
  EXPECT_THAT(catalog.dropped, ElementsAre("a/t"));
}

TEST(Catalog, tools_without_one_name_are_dropped_and_listed) {
  const MergedList catalog = merge({{"a",
                                     {R"({"title":"x"})", R"({"name":7})", R"({"name":""})",
                                      R"({"name":"x","name":"y"})", "7", R"({"name":"ok"})"}}});
  EXPECT_EQ(catalog.array, R"([{"name":"ok"}])");
  EXPECT_THAT(catalog.dropped, ElementsAre("a/(no name)", "a/(no name)", "a/(no name)", "a/(no name)", "a/(no name)"));
}

TEST(Catalog, a_name_that_needs_escapes_is_written_with_them) {
  const std::vector<UpstreamList> lists = {{"a", named({"q\"\\\n"})}, {"b", named({"q\"\\\n"})}};
  EXPECT_THAT(merged(lists, merge(lists)), ElementsAre("a-q\"\\\n→a:q\"\\\n", "b-q\"\\\n→b:q\"\\\n"));
}

TEST(Catalog, always_prefixes_every_name_so_that_nobody_who_joins_changes_one) {
  const std::vector<UpstreamList> lists = {{"a", named({"t", "u"})}, {"b", named({"t"})}};
  const MergeOptions options{.rule = NameRule::kAlways, .separator = "__"};
  const MergedList catalog = merge(lists, options);
  EXPECT_THAT(merged(lists, catalog), ElementsAre("a__t→a:t", "a__u→a:u", "b__t→b:t"));
  const MergedList alone = merge({lists[0]}, options);
  EXPECT_THAT(merged(lists, alone), ElementsAre("a__t→a:t", "a__u→a:u"));
}

TEST(Catalog, never_leaves_a_key_to_the_first_who_has_it) {
  const std::vector<UpstreamList> lists = {{"a", {R"({"uri":"x://1","name":"same"})"}},
                                           {"b", {R"({"uri":"x://1"})", R"({"uri":"x://2","name":"same"})"}}};
  const MergedList catalog = merge(lists, {.key = "uri", .rule = NameRule::kFirst});
  EXPECT_THAT(merged(lists, catalog, "uri"), ElementsAre("x://1→a:x://1", "x://2→b:x://2"));
  EXPECT_THAT(catalog.dropped, ElementsAre("b/x://1"));
}

TEST(Catalog, only_what_is_asked_for_stays_under_the_name_that_it_has_among_all) {
  const std::vector<UpstreamList> lists = {{"a", named({"t", "u"})}, {"b", named({"t"})}};
  const std::unordered_set<std::string> only{"b-t", "u", "absent"};
  const MergedList catalog = merge(lists, {.only = &only});
  EXPECT_THAT(merged(lists, catalog), ElementsAre("u→a:u", "b-t→b:t"));
}

TEST(Catalog, an_upstream_without_a_list_keeps_its_place) {
  const UpstreamList b{"b", named({"t"})};
  const MergedList catalog = merge_lists({nullptr, &b}, {});
  EXPECT_EQ(catalog.routes.at("t").upstream, 1U);
}

TEST(Catalog, a_name_that_would_be_too_long_is_dropped_and_its_own_stays) {
  const std::string longest(128, 'n');
  const std::vector<UpstreamList> lists = {{"a", {R"({"name":")" + longest + "\"}"}}};
  EXPECT_THAT(merged(lists, merge(lists)), ElementsAre(longest + "→a:" + longest));
  const MergedList prefixed = merge(lists, {.rule = NameRule::kAlways});
  EXPECT_EQ(prefixed.array, "[]");
  EXPECT_THAT(prefixed.dropped, ElementsAre("a/" + longest));
}

TEST(Catalog, pages_together_are_the_list) {
  const MergedList catalog = merge({{"a", named({"x", "y"})}, {"b", named({"x"})}});
  EXPECT_EQ(catalog.page(0, 3), catalog.array);
  EXPECT_EQ(catalog.page(0, 2), R"([{"name":"a-x"},{"name":"y"}])");
  EXPECT_EQ(catalog.page(2, 4), R"([{"name":"b-x"}])");
  EXPECT_EQ(catalog.page(3, 5), "[]");
  EXPECT_EQ(MergedList().page(0, 1), "[]");
}

/// A chain that frees one name after the other beside many tools that never move.
TEST(Catalog, a_hostile_list_costs_no_more_than_its_length) {
  UpstreamList a{"a", {}};
  std::string name = "t";
  for (int i = 0; i < 1000; ++i, name = "a-" + name) a.entries.push_back(R"({"name":")" + name + "\"}");
  for (int i = 0; i < 100'000; ++i) a.entries.push_back(R"({"name":"n)" + std::to_string(i) + "\"}");
  const MergedList catalog = merge({a, {"b", named({"t"})}});
  // Every name of the chain moves; those that would become longer than a name may be are dropped.
  EXPECT_EQ(catalog.routes.size() + catalog.dropped.size(), 101'001U);
  EXPECT_EQ(catalog.dropped.size(), 1000U - 63U);
  EXPECT_EQ(catalog.routes.at("a-t").name, "t");
}

}  // namespace
}  // namespace ringside::mcp
