// What a stdio upstream promises to the clients that have a child each: state of their own, questions that reach them,
// and an end of the whole tree with their session.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/worker/upstream/ear_for_all.h"
#include "tests/worker/upstream/stdio_fixture.h"

namespace ringside::worker {
namespace {

using testing::ElementsAre;

constexpr const char* kPong = R"({"jsonrpc":"2.0","id":"q1","result":{}})";
constexpr const char* kSampled = R"({"jsonrpc":"2.0","id":2,"result":{"role":"assistant"}})";

std::string pid_of(Upstream& upstream, const PersonaRef& who, std::uint64_t id) {
  return result_of(ask_as(upstream, who, id, "pid"));
}

TEST(StdioPersona, each_client_has_a_child_of_its_own) {
  const auto upstream = start_peer();
  const auto first = pid_of(*upstream, persona("a"), 1);
  const auto second = pid_of(*upstream, persona("b"), 2);
  const auto everybodys = pid_of(*upstream, nullptr, 3);
  EXPECT_NE(first, second);
  EXPECT_NE(first, everybodys);
  EXPECT_NE(second, everybodys);
  EXPECT_EQ(pid_of(*upstream, persona("a"), 4), first);
  EXPECT_EQ(upstream->status().calls, 4U);
}

TEST(StdioPersona, clients_of_a_shared_server_have_one_child) {
  auto options = peer_options();
  options.shared = true;
  const auto upstream = make_stdio_upstream(std::move(options));
  EXPECT_EQ(pid_of(*upstream, persona("a"), 1), pid_of(*upstream, persona("b"), 2));
}

TEST(StdioPersona, a_childs_whole_tree_ends_with_its_session_and_nobody_waits_for_that) {
  const auto upstream = start_peer({"--stubborn"});
  const auto other = watch(pids_of(result_of(ask_as(*upstream, persona("b"), 1, "tree"))));
  const auto tree = watch(pids_of(result_of(ask_as(*upstream, persona("a"), 2, "tree"))));
  expect_alive(tree);
  auto pending = ask_as(*upstream, persona("a"), 3, "silent");
  upstream->end("a");
  EXPECT_EQ(pending.code(), Code::kCancelled);
  expect_gone(tree);
  expect_alive(other);
  EXPECT_GT(std::stol(pid_of(*upstream, persona("a"), 4)), 0) << "a session of the same name begins anew";
}

TEST(StdioPersona, there_are_no_more_children_than_allowed) {
  auto options = peer_options();
  options.max_children = 1;
  const auto upstream = make_stdio_upstream(std::move(options));
  EXPECT_GT(std::stol(pid_of(*upstream, persona("a"), 1)), 0);
  EXPECT_EQ(ask_as(*upstream, persona("b"), 2, "pid").code(), Code::kFull);
  EXPECT_GT(std::stol(pid_of(*upstream, nullptr, 3)), 0) << "the shared one is beside them";
  upstream->end("a");
  EXPECT_GT(std::stol(pid_of(*upstream, persona("b"), 4)), 0);
}

TEST(StdioPersona, a_child_that_has_nothing_to_do_ends_after_a_time) {
  auto options = peer_options();
  options.idle = std::chrono::milliseconds(100);
  const auto upstream = make_stdio_upstream(std::move(options));
  const Watched child(static_cast<pid_t>(std::stol(pid_of(*upstream, persona("a"), 1))));
  EXPECT_TRUE(!child.existed() || child.ends_within(10'000));
  EXPECT_GT(std::stol(pid_of(*upstream, persona("a"), 2)), 0);
}

TEST(StdioPersona, questions_reach_the_client_and_its_answers_the_child) {
  const auto upstream = start_peer();
  const auto ear = listen_to(*upstream);
  auto asked = ask_as(*upstream, persona("a"), 1, "ask");
  ASSERT_TRUE(ear->wait_for("a question \"q1\" ping"));
  ASSERT_TRUE(ear->wait_for("a question 2 sampling/createMessage"));
  upstream->reply(persona("a"), kPong);
  upstream->reply(persona("a"), kSampled);
  EXPECT_EQ(result_of(std::move(asked)), std::string("[") + kPong + "," + kSampled + "]");
}

TEST(StdioPersona, a_question_is_the_only_requests_own_and_may_be_declined) {
  const auto upstream = start_peer();
  const auto ear = listen_to(*upstream);
  std::vector<std::string> questions;
  EXPECT_EQ(
      result_of(ask(*upstream, {.message = request_text(1, "ask", "{}"),
                                .id = 1,
                                .on_question =
                                    [&](const UpstreamQuestion& question) {
                                      questions.push_back(question.method);
                                      return false;
                                    }})),
      std::string("[") + kPong + R"(,{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}])");
  EXPECT_THAT(questions, ElementsAre("ping", "sampling/createMessage"));
  EXPECT_THAT(ear->lines(), ElementsAre());
}

TEST(StdioPersona, what_no_call_carries_is_heard_whole) {
  const auto upstream = start_peer();
  const auto ear = listen_to(*upstream);
  const std::string log = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";
  const std::string changed = R"({"jsonrpc":"2.0","method":"notifications/resources/list_changed"})";
  EXPECT_EQ(result_of(ask_as(*upstream, persona("a"), 1, "say", R"({"messages":[)" + log + "," + changed + "]}")),
            "{}");
  EXPECT_THAT(ear->lines(), ElementsAre("a reopened", "a notice notifications/message " + log, "a list resources"));
}

TEST(StdioPersona, a_child_in_the_place_of_a_dead_one_is_announced_and_introduces_the_server) {
  const auto upstream = start_peer();
  const auto ear = listen_to(*upstream);
  EXPECT_EQ(upstream->introduction(), nullptr);
  EXPECT_EQ(result_of(ask(*upstream, 1, "answer_and_die")), "{}");
  ASSERT_NE(upstream->introduction(), nullptr);
  EXPECT_EQ(mcp::member(*upstream->introduction(), "protocolVersion"), "\"2025-06-18\"");
  for (std::uint64_t id = 2; !ask(*upstream, id, "echo").get().ok(); ++id) test::pause_between_looks();
  EXPECT_TRUE(ear->wait_for("- reopened"));
}

}  // namespace
}  // namespace ringside::worker
