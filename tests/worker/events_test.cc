// What an upstream says before its answer: event by event where the caller takes events, under the caller's own token.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "mcp/sse.h"
#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using worker::Written;

std::string progress(const std::string& token, int done = 1) {
  return R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":)" + token +
         R"(,"progress":)" + std::to_string(done) + "}}";
}
std::string event(const std::string& json) { return mcp::format_sse(json); }
std::string result(const std::string& id = "1") {
  return R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{"from":"a"}})";
}
constexpr std::string_view kLog = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";

/// A tools/call of "t" with `meta` as its raw _meta.
std::string with_meta(const std::string& meta) {
  return R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":)" + meta +
         R"(,"name":"t","arguments":{}}})";
}

/// A runtime with one upstream that keeps its calls until the test answers them.
struct Asking {
  Asking() { a->hold_calls = true; }

  /// Through a door that streams, or by an accept header alone.
  std::shared_ptr<TestCall> call(std::string_view body, bool streams = true) {
    mcp::Request request = post(body);
    request.stream = streams;
    if (!streams) request.headers.set("Accept", "application/json, TEXT/event-stream");
    return bench.serve(std::move(request));
  }
  [[nodiscard]] std::string id() const { return std::to_string(a->last().id); }

  Bench bench;
  std::shared_ptr<UpstreamScript> a = bench.upstream("a", {"t"});
};

TEST(Events, an_answer_that_nothing_comes_before_is_plain_json) {
  for (const bool streams : {true, false}) {
    Asking asking;
    const auto call = asking.call(tool_call("t"), streams);
    asking.a->release();
    EXPECT_FALSE(call->begun());
    EXPECT_EQ(call->response().headers.get("content-type"), "application/json");
    EXPECT_EQ(call->response().body, result());
    EXPECT_EQ(asking.bench.runtime->stats().under_way, 0U);
  }
}

TEST(Events, what_comes_before_the_answer_comes_as_it_comes) {
  Asking asking;
  const auto call = asking.call(tool_call("t"));
  EXPECT_FALSE(call->begun());
  EXPECT_TRUE(asking.a->say(std::string(kLog)));
  EXPECT_TRUE(call->begun());
  EXPECT_FALSE(call->answered());
  EXPECT_EQ(call->text(), event(std::string(kLog)));
  EXPECT_TRUE(asking.a->say(std::string(kLog)));
  asking.a->release();
  const auto& response = call->response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get("content-type"), "text/event-stream");
  EXPECT_EQ(response.body, event(std::string(kLog)) + event(std::string(kLog)) + event(result()));
  EXPECT_EQ(call->answers(), 1);
  EXPECT_EQ(asking.bench.runtime->stats().under_way, 0U);
}

TEST(Events, are_not_asked_for_on_behalf_of_a_caller_that_takes_none) {
  Asking asking;
  const auto call = asking.bench.serve(post(tool_call("t")));
  EXPECT_FALSE(asking.a->last().on_message);
  asking.a->release();
  EXPECT_EQ(call->response().body, result());
}

TEST(Events, a_token_is_ours_upstream_and_the_callers_on_the_way_back) {
  for (const std::string token : {R"("of mine")", R"("q\"\u00e9")", "7", "-1", "123456789012345678", R"("")"}) {
    Asking asking;
    const auto call = asking.call(with_meta(R"({"progressToken":)" + token + R"(,"other":1})"));
    const std::string id = asking.id();
    EXPECT_EQ(asking.a->last().message, R"({"jsonrpc":"2.0","id":)" + id +
                                            R"(,"method":"tools/call","params":{"_meta":{"progressToken":)" + id +
                                            R"(,"other":1},"name":"t","arguments":{}}})");
    asking.a->say(progress(id));
    asking.a->say(progress(id, 2));
    asking.a->release();
    EXPECT_EQ(call->response().body, event(progress(token)) + event(progress(token, 2)) + event(result()));
  }
}

TEST(Events, a_token_is_found_wherever_it_stands) {
  const std::string rows[] = {
      R"({"params":{"_meta":{"progressToken":"p"},"name":"t"},"id":1,"method":"tools/call","jsonrpc":"2.0"})",
      R"({"id":1,"params":{"name":"t","_meta":{"progressToken":"p"}},"method":"tools/call","jsonrpc":"2.0"})",
      R"({"params":{"name":"t","_meta" : { "x":{}, "progressToken" : "p" } },"method":"tools/call","jsonrpc":"2.0","id":1})",
      R"({"jsonrpc":"2.0","method":"tools/call","params":{"_meta":{"progress\u0054oken":"p"},"name":"t"},"id":1})",
  };
  for (const std::string& row : rows) {
    Asking asking;
    const auto call = asking.call(row);
    const std::string id = asking.id();
    EXPECT_THAT(asking.a->last().message, Not(HasSubstr(R"("p")"))) << row;
    asking.a->say(progress(id));
    asking.a->release();
    EXPECT_EQ(call->response().body, event(progress(R"("p")")) + event(result())) << row;
  }
}

TEST(Events, a_token_a_name_and_an_id_are_rewritten_together) {
  Bench bench;
  bench.upstream("other", {"t"});
  const auto a = bench.upstream("a", {"t"});
  a->hold_calls = true;
  for (const std::string body :
       {R"({"id":"i","jsonrpc":"2.0","method":"tools/call","params":{"_meta":{"progressToken":"p"},"name":"a-t"}})",
        R"({"jsonrpc":"2.0","method":"tools/call","params":{"name":"a-t","_meta":{"progressToken":"p"}},"id":"i"})"}) {
    mcp::Request request = post(body);
    request.stream = true;
    const auto call = bench.serve(std::move(request));
    const std::string id = std::to_string(a->last().id);
    std::string expected = body;
    expected.replace(expected.find(R"("i")"), 3, id);
    expected.replace(expected.find(R"("p")"), 3, id);
    expected.replace(expected.find(R"("a-t")"), 5, R"("t")");
    EXPECT_EQ(a->last().message, expected);
    a->say(progress(id));
    a->release();
    EXPECT_EQ(call->response().body, event(progress(R"("p")")) + event(result(R"("i")")));
  }
}

TEST(Events, a_token_twice_is_refused) {
  for (const std::string meta :
       {R"({"progressToken":1,"progressToken":2})", R"({"progressToken":1,"progress\u0054oken":2})",
        R"({},"_meta":{"progressToken":2})"}) {
    Asking asking;
    const auto call = asking.call(with_meta(meta));
    ASSERT_TRUE(call->answered()) << meta;
    EXPECT_THAT(call->response().body, HasSubstr(R"("code":-32602)")) << meta;
  }
}

TEST(Events, what_only_looks_like_a_token_passes_as_it_came) {
  const std::string rows[] = {
      with_meta(R"({"nested":{"progressToken":"p"}})"),
      with_meta(R"([{"progressToken":"p"}])"),
      with_meta(R"("progressToken")"),
      tool_call("t", R"({"_meta":{"progressToken":"p"},"progressToken":"p"})"),
      R"({"jsonrpc":"2.0","id":1,"_meta":{"progressToken":"p"},"method":"tools/call","params":{"name":"t"}})",
  };
  for (const std::string& row : rows) {
    Asking asking;
    const auto call = asking.call(row);
    std::string expected = row;
    expected.replace(expected.find(R"("id":1)"), 6, R"("id":)" + asking.id());
    EXPECT_EQ(asking.a->last().message, expected);
    asking.a->say(progress(asking.id()));
    asking.a->release();
    EXPECT_EQ(call->response().body, event(progress(asking.id())) + event(result())) << "nobody gave another";
  }
}

TEST(Events, only_progress_under_our_token_is_given_the_callers) {
  Asking asking;
  const auto call = asking.call(with_meta(R"({"progressToken":"mine"})"));
  const std::string id = asking.id();
  const std::string rows[] = {
      progress("99999"),
      progress("\"" + id + "\""),
      R"({"jsonrpc":"2.0","method":"notifications/message","params":{"progressToken":)" + id + "}}",
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"data":{"progressToken":)" + id + "}}}",
  };
  std::string expected;
  for (const std::string& row : rows) {
    asking.a->say(row);
    expected += event(row);
  }
  EXPECT_EQ(call->text(), expected);
  asking.a->say(R"({"params":{"progress":1,"progressToken":)" + id +
                R"(},"method":"notifications\/progress","jsonrpc":"2.0"})");
  EXPECT_THAT(call->text(), HasSubstr(R"("progressToken":"mine")")) << "however it is spelt";
}

TEST(Events, are_collected_for_a_caller_whose_door_has_no_streams) {
  Asking asking;
  const auto call = asking.call(with_meta(R"({"progressToken":"p"})"), false);
  asking.a->say(progress(asking.id()));
  asking.a->say(std::string(kLog));
  EXPECT_FALSE(call->begun());
  asking.a->release();
  EXPECT_FALSE(call->begun());
  EXPECT_EQ(call->response().status, 200);
  EXPECT_EQ(call->response().headers.get("content-type"), "text/event-stream");
  EXPECT_EQ(call->response().body, event(progress(R"("p")")) + event(std::string(kLog)) + event(result()));
}

TEST(Events, collected_beyond_the_limit_of_a_body_are_no_answer) {
  const auto big = [](std::size_t bytes) {
    return R"({"jsonrpc":"2.0","method":"x","params":{"d":")" + std::string(bytes, 'd') + R"("}})";
  };
  for (const int messages : {1, 2, 20}) {
    Asking asking;
    asking.bench.options.max_body_bytes = 1000;
    const auto call = asking.call(tool_call("t"), false);
    for (int i = 0; i < messages; ++i) EXPECT_TRUE(asking.a->say(big(900)));
    asking.a->release();
    EXPECT_EQ(call->response().status, 502);
    EXPECT_THAT(call->response().body, HasSubstr("upstream's answer is too large"));
    EXPECT_EQ(call->response().headers.get("content-type"), "application/json");
  }
}

TEST(Events, an_error_behind_an_event_is_an_event) {
  for (const bool streams : {true, false}) {
    Asking asking;
    const auto call = asking.call(tool_call("t"), streams);
    asking.a->say(std::string(kLog));
    asking.a->release(Result<std::string>(Error{Code::kTimeout, 0, "internal"}));
    EXPECT_EQ(call->response().status, 200);
    EXPECT_EQ(call->response().body,
              event(std::string(kLog)) +
                  event(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"upstream did not answer in )"
                        R"(time","data":{"origin":"upstream"}}})"));
  }
}

TEST(Events, a_cancel_amid_them_reaches_the_upstream_and_ends_the_stream) {
  Asking asking;
  const auto call = asking.call(tool_call("t"));
  asking.a->say(std::string(kLog));
  call->cancel();
  EXPECT_EQ(asking.a->cancelled, std::vector<std::uint64_t>{asking.a->last().id});
  EXPECT_THAT(call->response().body, HasSubstr("the call was cancelled"));
  EXPECT_EQ(call->answers(), 1);
  EXPECT_EQ(asking.bench.runtime->stats().under_way, 0U);
}

TEST(Events, a_caller_that_is_cut_off_cancels_the_call) {
  Asking asking;
  const auto call = asking.call(tool_call("t"));
  const auto hears = asking.a->held.front().first.on_message;
  hears(std::string(kLog));
  call->read(Written::kCut);
  hears(std::string(kLog));
  EXPECT_TRUE(call->cancelled());
  EXPECT_EQ(asking.a->cancelled.size(), 1U);
  EXPECT_TRUE(call->answered());
  EXPECT_TRUE(hears(std::string(kLog))) << "what comes later goes nowhere";
  EXPECT_EQ(call->text(), event(std::string(kLog)));
}

TEST(Events, a_slow_caller_holds_its_upstream_up_until_there_is_room) {
  Asking asking;
  const auto call = asking.call(tool_call("t"));
  call->read(Written::kSlow);
  EXPECT_FALSE(asking.a->say(std::string(kLog)));
  EXPECT_TRUE(asking.a->resumed.empty());
  call->read(Written::kMore);
  call->make_room();
  EXPECT_EQ(asking.a->resumed, std::vector<std::uint64_t>{asking.a->last().id});
  asking.a->release();
  call->make_room();
  EXPECT_EQ(asking.a->resumed.size(), 1U) << "nobody asks for room once it is over";
}

TEST(Events, that_meet_the_answer_on_another_thread_come_before_it_or_not_at_all) {
  for (int round = 0; round < 200; ++round) {
    Asking asking;
    const auto call = asking.call(tool_call("t"));
    const auto hears = asking.a->held.front().first.on_message;
    hears(std::string(kLog));
    std::thread talker([&] {
      for (int i = 0; i < 20; ++i) hears(std::string(kLog));
    });
    asking.a->release();
    const std::string body = call->response().body;
    talker.join();
    EXPECT_TRUE(body.ends_with(event(result())));
    EXPECT_EQ(call->text(), body);
  }
}

}  // namespace
}  // namespace ringside::test
