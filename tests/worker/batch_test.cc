// A batch: several messages in one POST, for sessions of 2025-03-26 alone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcp/sse.h"
#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kNote = R"({"jsonrpc":"2.0","method":"notifications/roots/list_changed"})";
constexpr std::string_view kLog = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";

std::string batch(const std::vector<std::string>& messages) {
  std::string text;
  for (const std::string& each : messages) text += (text.empty() ? "[" : ",") + each;
  return text + "]";
}
std::string ping(const std::string& id) { return R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"ping"})"; }
std::string pong(const std::string& id) { return R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{}})"; }
std::string refused(const std::string& why) {
  return R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":")" + why + R"("}})";
}

/// A runtime with one upstream, and a session that may send batches.
struct Batches {
  explicit Batches(worker::RuntimeOptions options = {.version = "9.9"}) {
    bench.options = std::move(options);
    bench.events = std::move(worker::open_sqlite_events(folder.file("events.db"), {})).value();
    session = bench.open_session({}, "2025-03-26");
  }
  mcp::Response ask(const std::vector<std::string>& messages) { return bench.ask(batch(messages), session); }
  std::shared_ptr<TestCall> stream(const std::vector<std::string>& messages) {
    mcp::Request request = post(batch(messages), session);
    request.stream = true;
    return bench.serve(std::move(request));
  }

  TempDir folder;
  Bench bench;
  std::shared_ptr<UpstreamScript> a = bench.upstream("a", {"t"});
  std::string session;
};

TEST(Batch, is_for_2025_03_26_only) {
  Batches batches;
  const std::string text = batch({ping("1")});
  for (const char* version : {"2024-11-05", "2025-06-18", "2025-11-25"}) {
    const auto answer = batches.bench.ask(text, batches.bench.open_session({}, version));
    EXPECT_EQ(answer.status, 400) << version;
    EXPECT_EQ(answer.body, refused("Batch requests are not supported")) << version;
  }
  EXPECT_EQ(batches.bench.ask(text).status, 400) << "nor without a session";
  EXPECT_EQ(batches.bench.ask(text, "nobody").status, 404);
  EXPECT_EQ(batches.ask({ping("1")}).body, "[" + pong("1") + "]");
}

TEST(Batch, answers_each_request_in_one_array) {
  Batches batches;
  const auto answer = batches.ask({ping("1"), std::string(kNote), tool_call("t", "{}", "\"x\""), ping("\"1\"")});
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            "[" + pong("1") + R"(,{"jsonrpc":"2.0","id":"x","result":{"from":"a"}},)" + pong("\"1\"") + "]");
}

TEST(Batch, waits_for_the_last_answer) {
  Batches batches;
  batches.a->hold_calls = true;
  const auto call = batches.bench.serve(post(batch({tool_call("t"), ping("2")}), batches.session));
  EXPECT_FALSE(call->answered());
  batches.a->release();
  EXPECT_EQ(call->response().body, "[" + pong("2") + R"(,{"jsonrpc":"2.0","id":1,"result":{"from":"a"}}])");
}

TEST(Batch, of_notifications_is_accepted_without_a_body) {
  Batches batches;
  const auto answer = batches.ask({std::string(kNote), std::string(kNote)});
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "");
}

TEST(Batch, of_answers_that_nobody_asked_for_is_refused) {
  Batches batches;
  const auto answer = batches.ask({pong("1")});
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, "[" + refused("Invalid Request") + "]");
}

TEST(Batch, with_initialize_or_nothing_or_too_much_is_refused_whole) {
  Batches batches;
  const std::string initialize =
      R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}})";
  for (const auto& messages : {std::vector<std::string>{tool_call("t"), initialize}, std::vector<std::string>{""}}) {
    const auto answer = batches.ask(messages);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.body, refused("Invalid Request"));
  }
  EXPECT_EQ(batches.ask(std::vector<std::string>(101, ping("1"))).body, refused("Too many messages in a batch"));
  EXPECT_EQ(batches.ask(std::vector<std::string>(100, ping("1"))).status, 200);
  EXPECT_EQ(batches.a->last().message.find("tools/call"), std::string::npos) << "nothing of it has run";
}

TEST(Batch, tells_each_message_that_is_none) {
  Batches batches;
  const auto answer = batches.ask({"1", ping("2"), "[]", R"({"jsonrpc":"2.0","id":3,"id":3,"method":"ping"})"});
  EXPECT_EQ(answer.status, 200);
  const std::string invalid = refused("Invalid Request");
  EXPECT_EQ(answer.body, "[" + invalid + "," + pong("2") + "," + invalid + "," + invalid + "]");
}

TEST(Batch, counts_each_request_against_the_limits) {
  Batches batches({.admissions = {.calls_per_worker = 1}, .version = "9.9"});
  batches.a->hold_calls = true;
  const auto call = batches.bench.serve(post(batch({tool_call("t"), ping("2")}), batches.session));
  batches.a->release();
  EXPECT_THAT(call->response().body,
              HasSubstr(R"("id":2,"error":{"code":-32000,"message":"Too many calls under way")"));
  EXPECT_THAT(call->response().body, HasSubstr(R"("id":1,"result")"));
}

TEST(Batch, is_a_stream_once_something_comes_before_an_answer) {
  Batches batches;
  batches.a->hold_calls = true;
  const auto call = batches.stream({ping("1"), tool_call("t", "{}", "2"), tool_call("t", "{}", "3")});
  EXPECT_FALSE(call->begun());
  batches.a->say(std::string(kLog));
  EXPECT_TRUE(call->begun());
  batches.a->release();
  EXPECT_FALSE(call->answered());
  batches.a->release();
  std::vector<std::string> heard;
  mcp::SseParser parser(1U << 20U);
  ASSERT_TRUE(parser
                  .feed(call->response().body,
                        [&](mcp::SseEvent&& event) {
                          EXPECT_FALSE(event.id.has_value()) << "there is no stream to come back to";
                          heard.push_back(std::move(event.data));
                        })
                  .ok());
  ASSERT_EQ(heard.size(), 4U);
  EXPECT_EQ(heard[0], pong("1"));
  EXPECT_EQ(heard[1], kLog);
  EXPECT_THAT(heard[2], HasSubstr(R"("id":2,"result")"));
  EXPECT_THAT(heard[3], HasSubstr(R"("id":3,"result")"));
}

TEST(Batch, that_its_caller_gives_up_is_given_up_whole) {
  Batches batches;
  batches.a->hold_calls = true;
  const auto call = batches.bench.serve(post(batch({tool_call("t"), tool_call("t", "{}", "2")}), batches.session));
  call->cancel();
  EXPECT_EQ(batches.a->cancelled.size(), 2U);
}

TEST(Batch, beyond_the_limit_of_a_body_says_so_instead) {
  Batches batches({.max_body_bytes = 400, .version = "9.9"});
  batches.a->answer = [](const UpstreamRequest& request) {
    return mcp::result_body(std::to_string(request.id), "\"" + std::string(200, 'x') + "\"");
  };
  const auto answer = batches.ask({tool_call("t"), tool_call("t", "{}", "2")});
  EXPECT_THAT(answer.body, HasSubstr(R"("id":1,"result")"));
  EXPECT_THAT(answer.body, HasSubstr(R"("id":2,"error":{"code":-32000,"message":"the batch's answers are too large")"));
}

}  // namespace
}  // namespace ringside::test
