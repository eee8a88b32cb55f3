// What a stdio upstream promises while its server lives.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/worker/upstream/stdio_fixture.h"

namespace ringside::worker {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(StdioUpstream, the_bytes_of_requests_and_answers_pass_unchanged) {
  const test::TempDir dir;
  const std::string odd = R"({"b":1e2,"a":12345678901234567890,"id":"1","é":"\u00e9\ud83d\ude00"})";
  const auto upstream = start_peer({"--record", dir.file("lines")});
  const auto answer = ask(*upstream, 7, "echo", odd).get();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, R"({"jsonrpc":"2.0","id":7,"result":)" + odd + "}");
  EXPECT_THAT(test::read_file(dir.file("lines")), HasSubstr("\n" + request_text(7, "echo", odd) + "\n"));
}

TEST(StdioUpstream, the_handshake_comes_first_and_says_who_we_are) {
  const test::TempDir dir;
  const auto upstream = start_peer({"--record", dir.file("lines")});
  EXPECT_EQ(upstream->status().state, "idle");
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo", "[3]")), "[3]");
  EXPECT_EQ(test::read_file(dir.file("lines")),
            R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",)"
            R"("capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},)"
            R"("clientInfo":{"name":"ringside","version":"1.2.3"}}})"
            "\n"
            R"({"jsonrpc":"2.0","method":"notifications/initialized"})"
            "\n" +
                request_text(1, "echo", "[3]") + "\n");
  const auto status = upstream->status();
  EXPECT_EQ(status.name, "peer");
  EXPECT_EQ(status.kind, "stdio");
  EXPECT_EQ(status.state, "ready");
  EXPECT_EQ(status.calls, 1U);
  EXPECT_EQ(status.failures, 0U);
}

TEST(StdioUpstream, a_request_with_line_ends_in_it_travels_as_one_line) {
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo", "{\r\n \"a\": \"\\n\"\n}")), "{   \"a\": \"\\n\" }");
}

TEST(StdioUpstream, two_hundred_requests_at_once_each_get_their_own_answer) {
  const auto upstream = start_peer();
  std::vector<Asked> asked;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    asked.push_back(ask(*upstream, id, "hold", R"({"count":200,"mine":)" + std::to_string(id) + "}"));
  }
  for (std::uint64_t id = 1; id <= 200; ++id) {
    EXPECT_EQ(result_of(std::move(asked[id - 1])), R"({"count":200,"mine":)" + std::to_string(id) + "}");
  }
}

TEST(StdioUpstream, a_megabyte_passes_both_ways) {
  const auto upstream = start_peer();
  const std::string big = "[\"" + std::string(3 << 20U, 'm') + "\"]";
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo", big)), big);
  EXPECT_EQ(result_of(ask(*upstream, 2, "huge", R"({"bytes":1048576})")).size(), 1048578U);
}

TEST(StdioUpstream, banners_garbage_and_answers_to_nobody_are_dropped) {
  const auto upstream = start_peer({"--banner"});
  EXPECT_EQ(result_of(ask(*upstream, 1, "garbage")), "{}");
  EXPECT_EQ(result_of(ask(*upstream, 2, "echo", "[2]")), "[2]");
}

TEST(StdioUpstream, a_servers_ping_is_answered_and_its_other_questions_refused) {
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 1, "ask")),
            R"([{"jsonrpc":"2.0","id":"q1","result":{}},)"
            R"({"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}])");
}

TEST(StdioUpstream, a_change_of_the_tools_is_announced) {
  const auto upstream = start_peer();
  std::atomic<int> changes = 0;
  upstream->on_tools_changed([&] { ++changes; });
  EXPECT_EQ(result_of(ask(*upstream, 1, "change")), "{}");
  EXPECT_EQ(changes, 1);
}

TEST(StdioUpstream, an_error_of_the_server_is_an_answer) {
  const auto upstream = start_peer();
  const auto answer = ask(*upstream, 1, "nonsense").get();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(*answer, R"({"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}})");
}

TEST(StdioUpstream, a_deadline_ends_the_call_and_the_server_is_told) {
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 4, "echo")), "{}");
  EXPECT_EQ(ask(*upstream, 5, "silent", "{}", in(std::chrono::milliseconds(100))).code(), Code::kTimeout);
  EXPECT_EQ(result_of(ask(*upstream, 6, "cancelled")), "[5]");
  EXPECT_EQ(upstream->status().failures, 1U);
}

TEST(StdioUpstream, a_cancelled_call_ends_soon_and_the_server_is_told) {
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 1, "echo")), "{}");
  auto asked = ask(*upstream, 2, "silent");
  EXPECT_EQ(result_of(ask(*upstream, 3, "echo")), "{}");  // by now the one before it was written
  upstream->cancel(2);
  upstream->cancel(2);
  upstream->cancel(1);
  upstream->cancel(404);
  EXPECT_EQ(asked.code(), Code::kCancelled);
  EXPECT_EQ(result_of(ask(*upstream, 4, "cancelled")), "[2]");
}

TEST(StdioUpstream, what_waits_for_the_handshake_can_be_cancelled_and_has_its_deadline) {
  const test::TempDir dir;
  const auto upstream = start_peer({"--init", "silent", "--record", dir.file("lines")});
  auto cancelled = ask(*upstream, 1, "echo");
  EXPECT_EQ(ask(*upstream, 2, "echo", "{}", in(std::chrono::milliseconds(50))).code(), Code::kTimeout);
  EXPECT_TRUE(cancelled.pending());
  upstream->cancel(1);
  EXPECT_EQ(cancelled.code(), Code::kCancelled);
  EXPECT_THAT(test::read_file(dir.file("lines")), Not(HasSubstr("cancelled")));
}

TEST(StdioUpstream, the_child_sees_the_promised_environment_and_nothing_else) {
  ::setenv("RINGSIDE_TEST_SECRET", "hush", 1);
  ::setenv("TZ", "UTC", 1);
  auto options = peer_options();
  options.env = {{"LANG", "C.UTF-8"}, {"TOKEN", "t=1"}};
  const auto upstream = make_stdio_upstream(std::move(options));
  const auto environment = result_of(ask(*upstream, 1, "environment"));
  EXPECT_THAT(environment, HasSubstr("\"PATH="));
  EXPECT_THAT(environment, HasSubstr("\"TZ=UTC\""));
  EXPECT_THAT(environment, HasSubstr("\"LANG=C.UTF-8\""));
  EXPECT_THAT(environment, HasSubstr("\"TOKEN=t=1\""));
  EXPECT_THAT(environment, Not(HasSubstr("hush")));
  mcp::for_each_element(environment, [](std::string_view raw) {
    const auto entry = *mcp::decode_string(raw);
    EXPECT_THAT(entry.substr(0, entry.find('=')), testing::AnyOf("HOME", "PATH", "LANG", "TZ", "USER", "TOKEN"));
  });
}

TEST(StdioUpstream, no_descriptor_but_the_three_pipes_leaks_into_the_child) {
  int leaky[2] = {-1, -1};
  ASSERT_EQ(::pipe(leaky), 0);  // without CLOEXEC, as a careless library makes them
  const UniqueFd read(leaky[0]);
  const UniqueFd write(leaky[1]);
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 1, "descriptors")), R"([0,1,2])");
}

TEST(StdioUpstream, the_child_runs_in_its_folder) {
  const test::TempDir dir;
  auto options = peer_options();
  options.cwd = dir.path();
  const auto upstream = make_stdio_upstream(std::move(options));
  EXPECT_EQ(result_of(ask(*upstream, 1, "cwd")), mcp::encode_string(dir.path()));
}

TEST(StdioUpstream, a_child_that_ignores_its_stdin_costs_its_own_callers_only) {
  auto options = peer_options({"--deaf"});
  const auto upstream = make_stdio_upstream(std::move(options));
  const std::string megabyte = '"' + std::string(1 << 20U, 'm') + '"';
  std::vector<Asked> asked;
  for (std::uint64_t id = 1; id <= 66; ++id) asked.push_back(ask(*upstream, id, "echo", megabyte));
  for (auto last = 64U; last < 66; ++last) EXPECT_EQ(asked[last].code(), Code::kUnavailable);
  EXPECT_TRUE(asked[0].pending());
  // What was never written leaves room when it is given up.
  upstream->cancel(60);
  EXPECT_EQ(asked[59].code(), Code::kCancelled);
  EXPECT_EQ(ask(*upstream, 70, "echo", "{}", in(std::chrono::milliseconds(30))).code(), Code::kTimeout);
}

TEST(StdioUpstream, what_the_server_writes_to_stderr_does_not_disturb) {
  const auto upstream = start_peer();
  EXPECT_EQ(result_of(ask(*upstream, 1, "stderr")), "{}");
  EXPECT_EQ(result_of(ask(*upstream, 2, "echo")), "{}");
}

}  // namespace
}  // namespace ringside::worker
