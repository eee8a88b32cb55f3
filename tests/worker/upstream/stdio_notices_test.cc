// What a stdio upstream says before its answer: progress, which names its request, and nothing else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/worker/upstream/stdio_fixture.h"

namespace ringside::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string saying(const std::vector<std::string>& messages) {
  std::string list;
  for (const auto& message : messages) list += (list.empty() ? "" : ",") + message;
  return R"({"messages":[)" + list + "]}";
}

TEST(StdioNotices, progress_goes_to_the_request_that_it_names) {
  const auto upstream = start_peer();
  Ear first;
  Ear second;
  const auto silent = ask_hearing(*upstream, 7, "silent", "{}", first.hears());
  const std::string odd = R"({"method":"notifications\/progress","params":{"é":1,"progressToken":8},"jsonrpc":"2.0"})";
  const auto params = saying({progress_of(7), progress_of(8), progress_of(7, 2), odd, progress_of(8, 3)});
  EXPECT_EQ(result_of(ask_hearing(*upstream, 8, "say", params, second.hears())), "{}");
  EXPECT_THAT(first.heard(), ElementsAre(progress_of(7), progress_of(7, 2)));
  EXPECT_THAT(second.heard(), ElementsAre(progress_of(8), odd, progress_of(8, 3)));
  EXPECT_TRUE(silent.pending());
}

TEST(StdioNotices, what_names_no_request_is_dropped) {
  const auto upstream = start_peer();
  Ear ear;
  const std::string none = R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}})";
  const std::string text = R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"8"}})";
  const std::string twice =
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":8,"progressToken":8}})";
  const std::string log = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"progressToken":8}})";
  const auto params = saying({none, text, twice, log, progress_of(99), progress_of(0)});
  EXPECT_EQ(result_of(ask_hearing(*upstream, 8, "say", params, ear.hears())), "{}");
  EXPECT_THAT(ear.heard(), IsEmpty());
}

TEST(StdioNotices, progress_of_a_request_that_is_over_is_dropped) {
  const auto upstream = start_peer();
  Ear ear;
  EXPECT_EQ(result_of(ask_hearing(*upstream, 7, "echo", "[1]", ear.hears())), "[1]");
  auto given_up = ask_hearing(*upstream, 8, "silent", "{}", ear.hears());
  upstream->cancel(8);
  EXPECT_EQ(given_up.code(), Code::kCancelled);
  EXPECT_EQ(result_of(ask(*upstream, 9, "say", saying({progress_of(7), progress_of(8)}))), "{}");
  EXPECT_THAT(ear.heard(), IsEmpty());
}

TEST(StdioNotices, a_slow_caller_holds_up_neither_itself_nor_others) {
  const auto upstream = start_peer();
  Ear ear;
  ear.slow(true);
  std::vector<std::string> many;
  for (int i = 0; i < 1000; ++i) many.push_back(progress_of(7, i));
  EXPECT_EQ(result_of(ask_hearing(*upstream, 7, "say", saying(many), ear.hears())), "{}");
  EXPECT_EQ(ear.heard(), many);
  upstream->resume(7);
  EXPECT_EQ(result_of(ask(*upstream, 8, "echo", "[1]")), "[1]");
}

TEST(StdioNotices, a_caller_may_cancel_from_inside_one) {
  const auto upstream = start_peer();
  auto silent = ask_hearing(*upstream, 7, "silent", "{}", [&upstream](const std::string&) {
    upstream->cancel(7);
    return false;
  });
  EXPECT_EQ(result_of(ask(*upstream, 8, "say", saying({progress_of(7), progress_of(7)}))), "{}");
  EXPECT_EQ(silent.code(), Code::kCancelled);
}

}  // namespace
}  // namespace ringside::worker
