// Who is asked for what.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/federation_house.h"

namespace ringside::test {
namespace {

using worker::Listing;

const std::string kWrong = "Invalid params";
const std::string kNobody = "nobody serves it";

/// a: tools and prompts; b: resources it lists, and can be subscribed to; c: resources it does not list.
struct Three : Gathering {
  Three() {
    const auto a = server("a");
    a->says = R"({"capabilities":{"tools":{},"prompts":{},"logging":{}}})";
    a->lists = {{"tools/list", R"({"tools":[{"name":"t"},{"name":"r","annotations":{"readOnlyHint":true}}]})"},
                {"prompts/list", prompts({"p"})}};
    const auto b = server("b");
    b->says = R"({"capabilities":{"tools":{},"prompts":{},"resources":{"subscribe":true},"tasks":{}}})";
    b->lists = {{"tools/list", tools({"t"})},
                {"prompts/list", prompts({"p"})},
                {"resources/list", resources({"x://1"})},
                {"resources/templates/list", templates({"x://n/{id}"})}};
    const auto c = server("c");
    c->says = R"({"capabilities":{"resources":{},"logging":{},"tasks":{}}})";
    c->lists = {{"tools/list", tools({})},
                {"resources/list", resources({})},
                {"resources/templates/list", templates({"x://{any}/2"})}};
  }
};

TEST(Pick, a_name_that_was_changed_is_changed_back) {
  Three house;
  EXPECT_EQ(house.pick("tools/call", R"({"arguments":{"name":"b-t"},"name" : "b-\u0074"})"), R"(b "b-\u0074"→"t")");
  EXPECT_EQ(house.pick("tools/call", R"({"name":"r"})"), "a!");
  EXPECT_EQ(house.pick("prompts/get", R"({"name":"a-p"})"), R"(a "a-p"→"p"!)");
  EXPECT_EQ(house.pick("tools/call", R"({"name":"t"})"), kNobody);
  EXPECT_EQ(house.pick("completion/complete", R"({"ref":{"type":"ref/prompt","name":"b-p"}})"), R"(b "b-p"→"p"!)");
}

TEST(Pick, a_known_name_is_asked_for_at_once_while_its_list_is_renewed) {
  Three house;
  house.list(Listing::kTools);
  house.clock.advance(std::chrono::minutes(1));
  for (const auto& server : house.servers) server->holds = true;
  EXPECT_EQ(house.pick("tools/call", R"({"name":"r"})"), "a!");
  EXPECT_EQ(house.pick("tools/call", R"({"name":"new"})"), "") << "news waits for the list that is on its way";
  const auto late = house.late;
  house.servers[0]->lists["tools/list"] = tools({"new"});
  for (const auto& server : house.servers) server->release();
  EXPECT_EQ(*late, "a");
}

TEST(Pick, a_resource_is_its_listers_or_its_templates) {
  Three house;
  EXPECT_EQ(house.pick("resources/read", R"({"uri":"x://1"})"), "b!");
  EXPECT_EQ(house.pick("resources/read", R"({"uri":"x://n/1"})"), "b!");
  EXPECT_EQ(house.pick("resources/read", R"({"uri":"x://m/2"})"), "c!");
  EXPECT_EQ(house.pick("resources/read", R"({"uri":"x://n/2"})"), "b!") << "two templates: in the order of the file";
  EXPECT_EQ(house.pick("resources/subscribe", R"({"uri":"x://1"})"), "b!");
  EXPECT_EQ(house.pick("completion/complete", R"({"ref":{"type":"ref/resource","uri":"x://{any}/2"}})"), "c!");
  EXPECT_EQ(house.pick("completion/complete", R"({"ref":{"type":"ref/resource","uri":"z://"}})"), kNobody);
}

TEST(Pick, a_uri_in_nobodys_list_is_still_read) {
  Three house;
  EXPECT_EQ(house.pick("resources/read", R"({"uri":"z://unlisted"})"), "b c?!");
  EXPECT_EQ(house.pick("resources/subscribe", R"({"uri":"z://unlisted"})"), "b!");
  EXPECT_EQ(house.pick("resources/unsubscribe", R"({"uri":"z://unlisted"})"), "b!");
}

TEST(Pick, a_read_with_nobody_up_is_told_from_one_that_nobody_serves) {
  Gathering house;
  EXPECT_EQ(house.pick("resources/read", R"({"uri":"x://1"})"), kNobody);
  Gathering down;
  down.server("a")->fails = Error{Code::kUnavailable, 0, "down"};
  EXPECT_EQ(down.pick("resources/read", R"({"uri":"x://1"})"), "upstream is not available");
}

TEST(Pick, a_level_goes_to_all_who_log) {
  Three house;
  EXPECT_EQ(house.pick("logging/setLevel", R"({"level":"info"})"), "a c*!");
  Gathering silent;
  silent.server("a")->lists = {{"tools/list", tools({})}};
  EXPECT_EQ(silent.pick("logging/setLevel", R"({"level":"info"})"), kNobody);
}

TEST(Pick, a_task_is_its_makers_for_the_session_that_made_it) {
  Three house;
  EXPECT_EQ(house.pick("tasks/get", R"({"taskId":"1"})", {}, "s1"), "b c?!");
  house.federation().learn_task("s1", "1", 2);
  EXPECT_EQ(house.pick("tasks/get", R"({"taskId":"1"})", {}, "s1"), "c!");
  EXPECT_EQ(house.pick("tasks/cancel", R"({"taskId":"1"})", {}, "s1"), "c");
  EXPECT_EQ(house.pick("tasks/get", R"({"taskId":"1"})", {}, "s2"), "b c?!") << "another session's task";
  EXPECT_EQ(house.pick("tasks/list", "{}", {}, "s1"), "b c?!");
}

TEST(Pick, tasks_are_forgotten_at_last_and_the_used_ones_last) {
  Three house;
  house.federation().learn_task("s", "first", 2);
  for (int i = 0; i < 9'999; ++i) house.federation().learn_task("s", std::to_string(i), 1);
  EXPECT_EQ(house.pick("tasks/get", R"({"taskId":"first"})", {}, "s"), "c!");
  house.federation().learn_task("s", "one more", 1);
  EXPECT_EQ(house.pick("tasks/get", R"({"taskId":"first"})", {}, "s"), "c!") << "it was used since";
  EXPECT_EQ(house.pick("tasks/get", R"({"taskId":"0"})", {}, "s"), "b c?!");
}

TEST(Pick, params_that_name_nothing_or_twice_are_wrong) {
  Three house;
  for (const auto& [method, params] : std::vector<std::pair<std::string, std::string>>{
           {"tools/call", "{}"},
           {"tools/call", R"({"name":3})"},
           {"tools/call", R"({"name":"t","name":"r"})"},
           {"prompts/get", "[]"},
           {"resources/read", R"({"name":"x"})"},
           {"tasks/get", R"({"taskId":null})"},
           {"completion/complete", "{}"},
           {"completion/complete", R"({"ref":"p"})"},
           {"completion/complete", R"({"ref":{"type":"ref/other"}})"},
           {"completion/complete", R"({"ref":{"type":"ref/prompt"}})"},
           {"completion/complete", R"({"ref":{"type":"ref/prompt","name":"a-p","name":"b-p"}})"}}) {
    EXPECT_EQ(house.pick(method, params), kWrong) << method << " " << params;
  }
  EXPECT_EQ(house.pick("unknown/method", "{}"), kNobody);
}

}  // namespace
}  // namespace ringside::test
