// What a stdio upstream promises when its server, or its owner, dies: every call ends once, and no process is left.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <vector>

#include "tests/worker/upstream/stdio_fixture.h"

namespace ringside::worker {
namespace {

// The first answer after a death: until then the back-off refuses at once.
std::string ask_until_served(Upstream& upstream, std::uint64_t first_id, const std::string& method) {
  const auto end = in(std::chrono::seconds(20));
  for (auto id = first_id; system_clock().now() < end; ++id) {
    const auto answer = ask(upstream, id, method).get();
    if (answer.ok()) return std::string(mcp::member(*answer, "result").value_or("no result"));
    if (answer.error().code != Code::kUnavailable) return std::string(answer.error().message);
    test::pause_between_looks();
  }
  return "never served";
}

TEST(StdioDeath, a_server_that_dies_in_mid_answer_ends_its_calls_and_is_started_again) {
  const auto upstream = start_peer();
  const auto first = result_of(ask(*upstream, 1, "pid"));
  auto bystander = ask(*upstream, 2, "silent");
  EXPECT_EQ(ask(*upstream, 3, "die").code(), Code::kUpstream);
  EXPECT_EQ(bystander.code(), Code::kUpstream);
  EXPECT_EQ(ask(*upstream, 4, "pid").code(), Code::kUnavailable);  // inside the back-off
  EXPECT_EQ(upstream->status().state, "failed");
  const auto second = ask_until_served(*upstream, 5, "pid");
  EXPECT_NE(first, second);
  EXPECT_GT(std::stol(second), 0);
  EXPECT_EQ(upstream->status().state, "ready");
}

TEST(StdioDeath, an_answer_written_just_before_the_end_still_counts) {
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 1, "answer_and_die")), "{}");
}

TEST(StdioDeath, a_server_that_dies_in_the_handshake_has_run_nothing) {
  const auto upstream = start_peer({"--init", "die"});
  auto other = ask(*upstream, 1, "echo");
  EXPECT_EQ(ask(*upstream, 2, "echo").code(), Code::kUnavailable);
  EXPECT_EQ(other.code(), Code::kUnavailable);
}

TEST(StdioDeath, a_server_that_refuses_the_handshake_or_speaks_the_future_fails_its_callers) {
  for (const char* init : {"error", "future"}) {
    const auto upstream = start_peer({"--init", init});
    EXPECT_EQ(ask(*upstream, 1, "echo").code(), Code::kUpstream) << init;
    EXPECT_EQ(upstream->status().state, "failed") << init;
  }
}

TEST(StdioDeath, a_server_that_closes_its_output_is_as_good_as_dead) {
  const auto upstream = start_peer({"--stubborn"});
  const Watched server(static_cast<pid_t>(std::stol(result_of(ask(*upstream, 1, "pid")))));
  EXPECT_EQ(ask(*upstream, 2, "close_output").code(), Code::kUpstream);
  EXPECT_TRUE(server.ends_within(10'000));
  EXPECT_EQ(ask_until_served(*upstream, 3, "echo"), "{}");
}

TEST(StdioDeath, a_line_over_the_limit_ends_the_server) {
  auto options = peer_options();
  options.max_body_bytes = 1 << 20U;
  const auto upstream = make_stdio_upstream(std::move(options));
  EXPECT_EQ(ask(*upstream, 1, "huge", R"({"bytes":2000000})").code(), Code::kTooLarge);
  EXPECT_EQ(ask_until_served(*upstream, 2, "echo"), "{}");
}

TEST(StdioDeath, a_command_or_a_guard_or_a_folder_that_is_not_there_is_unavailable) {
  auto no_command = peer_options();
  no_command.command = "/nowhere/at/all";
  EXPECT_EQ(ask(*make_stdio_upstream(no_command), 1, "echo").code(), Code::kUnavailable);
  auto no_guard = peer_options();
  no_guard.guard_program = "/nowhere/at/all";
  const auto unguarded = make_stdio_upstream(no_guard);
  EXPECT_EQ(ask(*unguarded, 1, "echo").code(), Code::kUnavailable);
  EXPECT_EQ(unguarded->status().state, "failed");
  auto no_folder = peer_options();
  no_folder.cwd = "/nowhere/at/all";
  EXPECT_EQ(ask(*make_stdio_upstream(no_folder), 1, "echo").code(), Code::kUnavailable);
}

TEST(StdioDeath, what_a_server_leaves_behind_when_it_ends_is_killed) {
  const auto upstream = start_peer();
  const auto tree = watch(pids_of(result_of(ask(*upstream, 1, "tree"))));
  expect_alive(tree);
  EXPECT_EQ(ask(*upstream, 2, "die").code(), Code::kUpstream);
  expect_gone(tree);
}

TEST(StdioDeath, closing_an_upstream_ends_its_calls_and_lets_the_server_say_goodbye) {
  const test::TempDir dir;
  auto upstream = start_peer({"--farewell", dir.file("bye")});
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  auto pending = ask(*upstream, 2, "silent");
  upstream.reset();
  EXPECT_EQ(pending.code(), Code::kCancelled);
  EXPECT_EQ(test::read_file(dir.file("bye")), "bye\n");
}

TEST(StdioDeath, closing_an_upstream_ends_a_tree_that_ignores_every_polite_word) {
  auto upstream = start_peer({"--stubborn"});
  const auto tree = watch(pids_of(result_of(ask(*upstream, 1, "tree"))));
  expect_alive(tree);
  const auto begin = system_clock().now();
  upstream.reset();
  for (const auto& process : tree) EXPECT_FALSE(process.alive());  // gone already: the guard was waited for
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(10));
}

TEST(StdioDeath, closing_before_the_handshake_or_before_any_request_is_quick_and_clean) {
  auto upstream = start_peer({"--init", "silent"});
  auto pending = ask(*upstream, 1, "echo");
  upstream.reset();
  EXPECT_EQ(pending.code(), Code::kCancelled);
  start_peer().reset();
}

TEST(StdioDeath, nothing_outlives_an_owner_that_was_killed) {
  const test::TempDir dir;
  test::Process owner(
      {.argv = {test::program("stdio_owner"), test::program("ringside-guard"), test::program("stdio_peer")},
       .stdout_path = dir.file("out")});
  std::string told;
  for (const auto end = in(std::chrono::seconds(30));
       told.find('\n') == std::string::npos && system_clock().now() < end;) {
    told = test::read_file(dir.file("out"));
    test::pause_between_looks();
  }
  const auto result = mcp::member(told, "result");
  ASSERT_TRUE(result) << told;
  const auto tree = watch(pids_of(std::string(*result)));
  EXPECT_EQ(tree.size(), 3U);
  expect_alive(tree);
  owner.signal(SIGKILL);
  expect_gone(tree);
}

}  // namespace
}  // namespace ringside::worker
