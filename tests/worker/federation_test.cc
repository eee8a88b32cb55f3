// Merged lists, what they can do together, and named subsets.

#include "worker/federation/federation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/federation_house.h"

namespace ringside::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using worker::Listing;
using List = worker::UpstreamSink::List;

constexpr Error kDown{Code::kUnavailable, 0, "down"};
const std::string kInvalid = R"({"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params"}})";

TEST(Federation, of_nobody_lists_nothing_and_can_do_nothing) {
  Gathering house;
  EXPECT_EQ(house.list(Listing::kTools), answered(tools({})));
  EXPECT_EQ(house.list(Listing::kTemplates), answered(templates({})));
  EXPECT_EQ(house.introduced(), "{}");
}

TEST(Federation, every_kind_is_merged_and_kept) {
  Gathering house;
  const auto a = house.server("a");
  a->lists = {{"tools/list", tools({"t", "both"})},
              {"prompts/list", prompts({"p"})},
              {"resources/list", resources({"x://1"})},
              {"resources/templates/list", templates({"x://{id}"})}};
  const auto b = house.server("b");
  b->lists = {{"tools/list", tools({"both"})},
              {"prompts/list", prompts({"p"})},
              {"resources/list", resources({"x://1", "x://2"})},
              {"resources/templates/list", templates({"y://{id}"})}};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(house.list(Listing::kTools), answered(tools({"t", "a-both", "b-both"})));
    EXPECT_EQ(house.list(Listing::kPrompts), answered(prompts({"a-p", "b-p"})));
    EXPECT_EQ(house.list(Listing::kResources), answered(resources({"x://1", "x://2"})));
    EXPECT_EQ(house.list(Listing::kTemplates), answered(templates({"x://{id}", "y://{id}"})));
  }
  EXPECT_EQ(a->asked.size(), 4U);
  EXPECT_EQ(b->asked.size(), 4U);
  EXPECT_THAT(house.federation().shadowed(), ElementsAre("resources b/x://1"));
}

TEST(Federation, names_are_as_configured_whoever_joins_later) {
  for (const bool together : {false, true}) {
    Gathering house;
    house.options.names = mcp::NameRule::kAlways;
    house.options.separator = ".";
    house.server("a")->lists = {{"tools/list", tools({"t"})}};
    if (together) house.server("b")->lists = {{"tools/list", tools({"t"})}};
    EXPECT_THAT(house.list(Listing::kTools), HasSubstr(R"([{"name":"a.t"})"));
    EXPECT_EQ(house.pick("tools/call", R"({"name":"a.t"})"), R"(a "a.t"→"t")");
  }
  Gathering house;
  house.options.names = mcp::NameRule::kFirst;
  house.server("a")->lists = {{"tools/list", tools({"t"})}};
  house.server("b")->lists = {{"tools/list", tools({"t"})}};
  EXPECT_EQ(house.list(Listing::kTools), answered(tools({"t"})));
  EXPECT_EQ(house.pick("tools/call", R"({"name":"t"})"), "a");
  EXPECT_THAT(house.federation().shadowed(), ElementsAre("tools b/t"));
}

TEST(Federation, a_dead_upstream_takes_only_its_own_entries) {
  Gathering house;
  house.server("a")->lists = {{"prompts/list", prompts({"p"})}};
  const auto b = house.server("b");
  b->lists = {{"prompts/list", prompts({"q"})}};
  b->fails = kDown;
  EXPECT_EQ(house.list(Listing::kPrompts), answered(prompts({"p"})));
  EXPECT_EQ(house.pick("prompts/get", R"({"name":"p"})"), "a!");
  EXPECT_EQ(house.pick("prompts/get", R"({"name":"q"})"), "upstream is not available");
  b->fails.reset();
  house.clock.advance(std::chrono::milliseconds(1001));
  EXPECT_EQ(house.list(Listing::kPrompts), answered(prompts({"p", "q"})));
}

TEST(Federation, all_upstreams_dead_is_told_from_an_empty_list) {
  Gathering house;
  house.server("a")->fails = kDown;
  EXPECT_THAT(house.list(Listing::kResources), HasSubstr(R"("code":-32000,"message":"upstream is not available")"));
}

TEST(Federation, an_upstream_that_declares_no_prompts_is_not_asked_for_them) {
  Gathering house;
  const auto a = house.server("a");
  a->says = R"({"capabilities":{"tools":{}}})";
  a->lists = {{"tools/list", tools({"t"})}};
  house.list(Listing::kTools);
  EXPECT_EQ(house.list(Listing::kPrompts), answered(prompts({})));
  EXPECT_EQ(house.list(Listing::kResources), answered(resources({})));
  EXPECT_THAT(a->asked, ElementsAre("tools/list"));
}

TEST(Federation, a_change_concerns_its_own_kind_of_list) {
  Gathering house;
  const auto a = house.server("a");
  a->lists = {{"prompts/list", prompts({"p"})},
              {"resources/list", resources({"x://1"})},
              {"resources/templates/list", templates({})}};
  const auto all = [&] {
    house.list(Listing::kPrompts);
    house.list(Listing::kResources);
    house.list(Listing::kTemplates);
  };
  all();
  house.federation().list_changed(0, List::kResources);
  all();
  EXPECT_EQ(a->times("prompts/list"), 1U);
  EXPECT_EQ(a->times("resources/list"), 2U);
  EXPECT_EQ(a->times("resources/templates/list"), 2U);
  house.federation().list_changed(0, List::kPrompts);
  a->lists["prompts/list"] = prompts({"new"});
  EXPECT_EQ(house.list(Listing::kPrompts), answered(prompts({"new"})));
}

TEST(Federation, capabilities_are_what_somebody_serves) {
  Gathering house;
  const auto a = house.server("a");
  a->says = R"({"capabilities":{"tools":{},"resources":{"subscribe":false},"experimental":{"x":{}}}})";
  a->lists = {{"tools/list", tools({})}};
  const auto b = house.server("b");
  b->says = R"({"capabilities":{"resources":{"subscribe":true},"completions":{},"logging":{},)"
            R"("tasks":{"list":{},"requests":{"tools":{"call":{}}}}},"instructions":"Say \"b\"."})";
  b->lists = {{"tools/list", tools({})}};
  EXPECT_EQ(house.introduced(),
            R"({"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"completions":{},)"
            R"("logging":{},"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"Say \"b\".")");
}

TEST(Federation, instructions_of_several_stand_under_their_names) {
  Gathering house;
  for (const std::string name : {"a", "b"}) {
    const auto server = house.server(name);
    server->says = R"({"capabilities":{},"instructions":"of )" + name + "\"}";
    server->lists = {{"tools/list", tools({})}};
  }
  EXPECT_EQ(house.introduced(), R"({}"# a\n\nof a\n\n# b\n\nof b")");
}

TEST(Federation, a_slow_upstream_delays_initialize_no_longer_than_patience) {
  Gathering house;
  house.options.patience = std::chrono::milliseconds(20);
  const auto a = house.server("a");
  a->says = R"({"capabilities":{"tools":{}}})";
  a->lists = {{"tools/list", tools({"t"})}};
  const auto b = house.server("b");
  b->holds = true;
  EXPECT_EQ(house.introduced(),
            R"({"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true}})")
      << "what is late may bring any list";
}

TEST(Federation, a_cursor_of_an_old_list_is_refused) {
  Gathering house;
  house.options.page_entries = 2;
  const auto a = house.server("a");
  a->lists = {{"tools/list", tools({"1", "2", "3", "4", "5"})}};
  std::vector<std::string> cursors;
  std::string params = "{}";
  for (const auto& page : {tools({"1", "2"}), tools({"3", "4"}), tools({"5"})}) {
    const std::string body = house.list(Listing::kTools, {}, params);
    EXPECT_THAT(body, HasSubstr(page.substr(0, page.size() - 1)));
    const auto next = mcp::member(*mcp::member(body, "result"), "nextCursor");
    if (next) cursors.emplace_back(*next);
    params = R"({"cursor":)" + cursors.back() + "}";
  }
  ASSERT_EQ(cursors.size(), 2U);
  house.federation().list_changed(0, List::kTools);
  EXPECT_THAT(house.list(Listing::kTools, {}, params), HasSubstr(R"([{"name":"5"}])")) << "the same list, asked again";
  a->lists = {{"tools/list", tools({"1", "2", "3", "4"})}};
  house.federation().list_changed(0, List::kTools);
  EXPECT_EQ(house.list(Listing::kTools, {}, params), kInvalid);
  for (const std::string cursor : {R"("")", R"("x")", R"("1")", R"("1-")", R"("1-2x")", "7"}) {
    EXPECT_EQ(house.list(Listing::kTools, {}, R"({"cursor":)" + cursor + "}"), kInvalid) << cursor;
  }
}

TEST(Federation, a_server_id_shows_its_subset_only) {
  Gathering house;
  house.options.servers = {{"s", {"b", "c"}, {"t", "c-both"}, {{"tools/call", "tools.execute"}}}, {"all", {}, {}, {}}};
  house.server("a")->lists = {{"tools/list", tools({"t"})}, {"prompts/list", prompts({"pa"})}};
  house.server("b")->lists = {{"tools/list", tools({"t", "both"})}, {"prompts/list", prompts({"pb"})}};
  house.server("c")->lists = {{"tools/list", tools({"both"})}};
  EXPECT_EQ(house.list(Listing::kTools, "s"), answered(tools({"t", "c-both"})));
  EXPECT_EQ(house.list(Listing::kPrompts, "s"), answered(prompts({"pb"})));
  EXPECT_EQ(house.servers[0]->asked.size(), 0U) << "who is not of it is not asked for it";
  EXPECT_EQ(house.pick("tools/call", R"({"name":"t"})", "s"), "b");
  EXPECT_EQ(house.pick("tools/call", R"({"name":"b-both"})", "s"), "nobody serves it");
  EXPECT_EQ(house.list(Listing::kTools, "all"), house.list(Listing::kTools));
  EXPECT_EQ(house.list(Listing::kTools, "other"), R"({"detail":"Server not found"})");
  EXPECT_EQ(house.pick("tools/call", R"({"name":"t"})", "other"), "nobody serves it");
  auto& federation = house.federation();
  EXPECT_TRUE(federation.knows_server("s"));
  EXPECT_TRUE(federation.knows_server(""));
  EXPECT_FALSE(federation.knows_server("other"));
  EXPECT_TRUE(federation.sees("s", 1));
  EXPECT_FALSE(federation.sees("s", 0));
}

TEST(Federation, without_servers_any_id_sees_everything) {
  Gathering house;
  house.server("a")->lists = {{"tools/list", tools({"t"})}};
  EXPECT_EQ(house.list(Listing::kTools, "whatever"), answered(tools({"t"})));
  EXPECT_TRUE(house.federation().knows_server("whatever"));
}

TEST(Federation, a_method_asks_for_its_permission_and_an_admin_has_all) {
  Gathering house;
  house.options.servers = {{"s", {}, {}, {{"tools/call", "tools.execute"}}}};
  const auto& federation = house.federation();
  mcp::Caller caller;
  EXPECT_FALSE(federation.may("s", "tools/call", caller));
  EXPECT_TRUE(federation.may("s", "tools/list", caller));
  EXPECT_TRUE(federation.may("", "tools/call", caller));
  EXPECT_FALSE(federation.may("other", "tools/list", caller));
  caller.permissions = {"tools.read", "tools.execute"};
  EXPECT_TRUE(federation.may("s", "tools/call", caller));
  mcp::Caller admin;
  admin.is_admin = true;
  EXPECT_TRUE(federation.may("s", "tools/call", admin));
}

TEST(Federation, who_forgets_is_not_called_and_the_others_are) {
  Gathering house;
  const auto a = house.server("a");
  a->lists = {{"tools/list", tools({"t"})}};
  a->holds = true;
  const std::string body = mcp::padded_copy(R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})");
  mcp::Envelope envelope;
  ASSERT_EQ(house.reader.read(body, envelope), mcp::EnvelopeFault::kNone);
  int calls = 0;
  const auto ask = [&] {
    return house.federation().list(Listing::kTools, {}, envelope, house.reader, [&](const mcp::Response&) { ++calls; });
  };
  const auto first = ask();
  ask();
  EXPECT_TRUE(house.federation().forget(first));
  EXPECT_FALSE(house.federation().forget(first));
  a->release();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(ask(), 0U) << "answered at once";
}

}  // namespace
}  // namespace ringside::test
