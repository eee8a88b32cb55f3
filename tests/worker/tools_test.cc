// tools/list and tools/call: the merged catalog, and bytes that pass unchanged.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

constexpr Error kDown{Code::kUnavailable, 0, "down"};

std::string down(const std::string& message, const std::string& id = "1") {
  return R"({"jsonrpc":"2.0","id":)" + id + R"(,"error":{"code":-32000,"message":")" + message +
         R"(","data":{"origin":"upstream"}}})";
}
std::string listed(const std::vector<std::string>& names) {
  std::string tools;
  for (const std::string& name : names) tools += (tools.empty() ? "" : ",") + tool_json(name);
  return R"({"jsonrpc":"2.0","id":1,"result":{"tools":[)" + tools + "]}}";
}

TEST(Tools, without_upstreams_the_list_is_empty) {
  Bench bench;
  EXPECT_EQ(bench.ask(kList).body, listed({}));
  EXPECT_THAT(bench.ask(tool_call("x")).body, HasSubstr("Unknown tool: x"));
}

TEST(Tools, the_list_merges_what_upstreams_have_and_is_kept) {
  Bench bench;
  const auto a = bench.upstream("a", {"one", "both"});
  const auto b = bench.upstream("b", {"two", "both"});
  EXPECT_EQ(bench.ask(kList).body, listed({"one", "a-both", "two", "b-both"}));
  EXPECT_EQ(bench.ask(kList).body, listed({"one", "a-both", "two", "b-both"}));
  EXPECT_EQ(a->lists(), 1U);
  bench.clock.advance(std::chrono::seconds(31));
  a->tools = {"three"};
  EXPECT_EQ(bench.ask(kList).body, listed({"three", "two", "both"}));
  EXPECT_EQ(a->lists(), 2U);
  EXPECT_EQ(b->lists(), 2U);
}

TEST(Tools, a_change_that_an_upstream_tells_is_seen_by_the_next_list) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  const auto b = bench.upstream("b", {"two"});
  bench.ask(kList);
  a->tools = {"new"};
  a->changed();
  EXPECT_EQ(bench.ask(kList).body, listed({"new", "two"}));
  EXPECT_EQ(b->lists(), 1U) << "the other one has not changed";
}

TEST(Tools, a_change_during_a_fetch_makes_its_list_serve_once) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  a->hold_lists = true;
  const auto call = bench.serve(post(kList));
  a->changed();
  a->release();
  EXPECT_EQ(call->response().body, listed({"one"}));
  a->hold_lists = false;
  a->tools = {"two"};
  EXPECT_EQ(bench.ask(kList).body, listed({"two"}));
}

TEST(Tools, pages_are_followed_and_bounded) {
  Bench bench;
  const auto a = bench.upstream("a");
  a->hold_lists = true;
  const auto page = [&](const std::string& name, const std::string& next) {
    const auto id = std::to_string(a->held.front().first.id);
    a->release(Result<std::string>(
        mcp::result_body(id, R"({"tools":[)" + tool_json(name) + R"(],"nextCursor":)" + next + "}")));
  };
  auto call = bench.serve(post(kList));
  page("one", R"("p\"2")");
  EXPECT_THAT(a->last().message, HasSubstr(R"("params":{"cursor":"p\"2"})"));
  page("two", "null");
  EXPECT_EQ(call->response().body, listed({"one", "two"}));
  bench.clock.advance(std::chrono::minutes(1));
  call = bench.serve(post(kList));
  for (int i = 0; i < 100; ++i) page("t" + std::to_string(i), "\"" + std::to_string(i) + "\"");
  EXPECT_TRUE(call->answered()) << "an upstream that never ends is cut";
  bench.clock.advance(std::chrono::minutes(1));
  call = bench.serve(post(kList));
  page("x", "\"same\"");
  page("y", "\"same\"");
  EXPECT_EQ(call->response().body, listed({"x", "y"}));
}

TEST(Tools, callers_at_once_share_one_fetch) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  a->hold_lists = true;
  const auto first = bench.serve(post(kList));
  const auto second = bench.serve(post(kList));
  const auto third = bench.serve(post(tool_call("one")));
  EXPECT_EQ(a->lists(), 1U);
  a->release();
  EXPECT_EQ(first->response().body, second->response().body);
  EXPECT_EQ(third->response().body, R"({"jsonrpc":"2.0","id":1,"result":{"from":"a"}})");
}

TEST(Tools, a_dead_upstream_takes_away_its_own_and_is_asked_again_soon) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  const auto b = bench.upstream("b", {"two"});
  b->list_fails = kDown;
  EXPECT_EQ(bench.ask(kList).body, listed({"one"}));
  EXPECT_EQ(bench.ask(kList).body, listed({"one"}));
  EXPECT_EQ(b->lists(), 1U);
  EXPECT_EQ(bench.ask(tool_call("two")).body, down("upstream is not available"));
  EXPECT_EQ(bench.ask(tool_call("two")).status, 502);
  b->list_fails.reset();
  bench.clock.advance(std::chrono::milliseconds(1001));
  EXPECT_EQ(bench.ask(tool_call("two")).status, 200);
  EXPECT_EQ(bench.ask(kList).body, listed({"one", "two"}));
  EXPECT_EQ(a->lists(), 1U);
}

TEST(Tools, an_upstream_that_hung_makes_nobody_wait_a_second_time) {
  Bench bench;
  bench.upstream("a", {"one"});
  const auto b = bench.upstream("b", {"two"});
  b->hold_lists = true;
  const auto first = bench.serve(post(kList));
  EXPECT_FALSE(first->answered());
  EXPECT_EQ(b->last().deadline, bench.clock.now() + std::chrono::seconds(60));
  b->release(Result<std::string>(Error{Code::kTimeout, 0, "hung"}));
  EXPECT_EQ(first->response().body, listed({"one"}));
  bench.clock.advance(std::chrono::seconds(2));
  EXPECT_EQ(bench.ask(kList).body, listed({"one"}));
  EXPECT_EQ(bench.ask(kList).body, listed({"one"}));
  EXPECT_EQ(b->lists(), 2U);
  b->release();
  EXPECT_EQ(bench.ask(kList).body, listed({"one", "two"}));
}

TEST(Tools, all_upstreams_dead_is_502) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  a->list_fails = kDown;
  const auto response = bench.ask(kList);
  EXPECT_EQ(response.status, 502);
  EXPECT_EQ(response.body, down("upstream is not available"));
}

TEST(Tools, an_upstream_that_answers_rubbish_has_no_list_and_one_without_tools_an_empty_one) {
  Bench bench;
  const auto a = bench.upstream("a");
  a->hold_lists = true;
  for (const std::string answer :
       {R"({"jsonrpc":"2.0","id":1,"result":{"tools":3}})", R"({"jsonrpc":"2.0","id":1,"result":{}})",
        R"({"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":""}})"}) {
    const auto call = bench.serve(post(kList));
    a->release(Result<std::string>(answer));
    EXPECT_EQ(call->response().status, 502) << answer;
    bench.clock.advance(std::chrono::seconds(2));
  }
  const auto call = bench.serve(post(kList));
  a->release(Result<std::string>(R"({"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":""}})"));
  EXPECT_EQ(call->response().body, listed({}));
}

TEST(Tools, a_cursor_that_was_never_given_out_is_invalid) {
  Bench bench;
  for (const std::string params :
       {R"({"cursor":"x"})", R"({"cursor":""})", R"({"cursor":3})", R"({"cursor":null,"cursor":null})", "[1]"}) {
    EXPECT_THAT(bench.ask(R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":)" + params + "}").body,
                HasSubstr(R"("code":-32602)"))
        << params;
  }
  for (const std::string params : {R"({})", R"({"cursor":null})", R"({"_meta":{}})"}) {
    EXPECT_EQ(bench.ask(R"({"jsonrpc":"2.0","id":1,"method":"tools/list","params":)" + params + "}").body, listed({}));
  }
}

TEST(Tools, a_call_reaches_its_owner_with_only_the_id_replaced) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  const std::string arguments = R"({ "b" : 1e2, "a":12345678901234567890,"id":"1", "\u0061":[1,  2] })";
  const std::string body = R"( {"method" : "tools/call","x-unknown":{"id":9},"params":{"arguments":)" + arguments +
                           R"(,"name":"one"},"id" : "q\"1","jsonrpc":"2.0"} )";
  EXPECT_EQ(bench.ask(body).body, R"({"jsonrpc":"2.0","id":"q\"1","result":{"from":"a"}})");
  const auto sent = a->last();
  std::string expected = body;
  expected.replace(expected.find(R"("q\"1")"), 6, std::to_string(sent.id));
  EXPECT_EQ(sent.message, expected);
}

TEST(Tools, a_renamed_tool_is_called_by_its_own_name) {
  Bench bench;
  bench.upstream("a", {"t"});
  const auto b = bench.upstream("b", {"t"});
  for (
      const std::string body :
      {R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b-t","arguments":{}}})",
       R"({"params":{"arguments":{"name":"b-t"},"name" : "b-\u0074"},"method":"tools/call","id":"long-id-of-ours","jsonrpc":"2.0"})"}) {
    EXPECT_THAT(bench.ask(body).body, HasSubstr(R"("from":"b")"));
    const auto sent = b->last();
    EXPECT_THAT(sent.message, HasSubstr(R"("id":)" + std::to_string(sent.id)));
    EXPECT_EQ(mcp::member(*mcp::member(sent.message, "params"), "name"), R"("t")");
  }
  EXPECT_THAT(b->last().message, HasSubstr(R"("arguments":{"name":"b-t"})"));
}

TEST(Tools, an_answer_goes_back_byte_for_byte_but_for_its_id) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  a->answer = [](const UpstreamRequest& request) {
    return R"( { "result" : {"id":5, "n":1e2}, "id" : )" + std::to_string(request.id) +
           R"(, "jsonrpc":"2.0","extra":[ ]} )";
  };
  EXPECT_EQ(bench.ask(tool_call("t", "{}", R"("mine")")).body,
            R"( { "result" : {"id":5, "n":1e2}, "id" : "mine", "jsonrpc":"2.0","extra":[ ]} )");
  a->answer = [](const UpstreamRequest& request) {
    return R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) + R"(,"error":{"code":-5,"message":"no"}})";
  };
  EXPECT_EQ(bench.ask(tool_call("t")).body, R"({"jsonrpc":"2.0","id":1,"error":{"code":-5,"message":"no"}})");
}

TEST(Tools, what_is_no_answer_is_502_with_the_callers_id) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  for (const std::string answer :
       {R"({"jsonrpc":"2.0","id":0,"result":{}})", R"({"jsonrpc":"2.0","result":{}})", "[]", "3"}) {
    a->answer = [&](const UpstreamRequest&) { return answer; };
    const auto response = bench.ask(tool_call("t", "{}", "42"));
    EXPECT_EQ(response.status, 502);
    EXPECT_EQ(response.body, down("upstream gave no valid answer", "42"));
  }
  a->answer = [&](const UpstreamRequest& request) {
    return R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) + "}";
  };
  EXPECT_EQ(bench.ask(tool_call("t")).status, 502);
}

TEST(Tools, a_failure_is_502_with_a_safe_message) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  const std::pair<Code, std::string> rows[] = {
      {Code::kUnavailable, "upstream is not available"},  {Code::kTimeout, "upstream did not answer in time"},
      {Code::kUpstream, "upstream gave no valid answer"}, {Code::kTooLarge, "upstream's answer is too large"},
      {Code::kCancelled, "the call was cancelled"},       {Code::kSystem, "upstream is not available"}};
  for (const auto& [code, message] : rows) {
    a->call_fails = Error{code, 0, "internal name"};
    const auto response = bench.ask(tool_call("t", "{}", R"("i")"));
    EXPECT_EQ(response.status, 502);
    EXPECT_EQ(response.body, down(message, R"("i")"));
  }
}

TEST(Tools, a_call_names_its_tool_once_as_a_string) {
  Bench bench;
  bench.upstream("a", {"t"});
  for (const std::string params :
       {R"({})", R"({"name":3})", R"({"name":"t","name":"t"})", R"({"name":null})", R"(["t"])"}) {
    const auto response = bench.ask(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":)" + params + "}");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, R"({"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params"}})")
        << params;
  }
  EXPECT_EQ(bench.ask(R"({"jsonrpc":"2.0","id":1,"method":"tools/call"})").status, 200);
}

TEST(Tools, an_unknown_tool_is_told_when_every_upstream_answered) {
  Bench bench;
  bench.upstream("a", {"t"});
  EXPECT_EQ(bench.ask(tool_call("nope")).body,
            R"({"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool: nope"}})");
}

TEST(Tools, a_deadline_is_the_callers_or_the_runtimes_whichever_is_first) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  bench.ask(tool_call("t"));
  EXPECT_EQ(a->last().deadline, bench.clock.now() + std::chrono::seconds(60));
  auto request = post(tool_call("t"));
  request.deadline = bench.clock.now() + std::chrono::seconds(5);
  bench.ask(std::move(request));
  EXPECT_EQ(a->last().deadline, bench.clock.now() + std::chrono::seconds(5));
}

TEST(Tools, a_cancelled_call_is_cancelled_upstream) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  a->hold_calls = true;
  const auto call = bench.serve(post(tool_call("t")));
  const std::uint64_t id = a->last().id;
  call->cancel();
  EXPECT_EQ(a->cancelled, std::vector<std::uint64_t>{id});
  EXPECT_EQ(call->response().body, down("the call was cancelled"));
  EXPECT_EQ(call->answers(), 1);
}

TEST(Tools, a_call_cancelled_while_it_waits_for_the_list_never_runs) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  a->hold_lists = true;
  const auto call = bench.serve(post(tool_call("t")));
  const auto list = bench.serve(post(kList));
  call->cancel();
  EXPECT_EQ(call->response().body, down("the call was cancelled"));
  auto late = std::make_shared<TestCall>(post(tool_call("t")));
  late->cancel();  // before the runtime has it
  bench.runtime->serve(late);
  a->release();
  EXPECT_EQ(late->response().body, down("the call was cancelled"));
  EXPECT_EQ(list->response().body, listed({"t"}));
  EXPECT_EQ(a->seen.size(), 1U);
  EXPECT_EQ(bench.runtime->stats().under_way, 0U);
}

TEST(Tools, a_known_tool_is_called_at_once_while_its_list_is_renewed) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  bench.ask(kList);
  bench.clock.advance(std::chrono::seconds(31));
  a->hold_lists = true;
  EXPECT_EQ(bench.ask(tool_call("t")).status, 200);
  EXPECT_EQ(a->lists(), 2U);
  const auto unknown = bench.serve(post(tool_call("new")));
  EXPECT_FALSE(unknown->answered()) << "news wait for the list that is on its way";
  EXPECT_EQ(a->lists(), 2U);
  a->tools = {"t", "new"};
  a->release();
  EXPECT_EQ(unknown->response().status, 200);
}

TEST(Tools, an_id_in_a_large_body_is_replaced_without_moving_the_rest) {
  Bench bench;
  const auto a = bench.upstream("a", {"one"});
  const std::string large(200'000, 'x');
  a->answer = [&](const UpstreamRequest& request) {
    return mcp::result_body(std::to_string(request.id), "\"" + large + "\"");
  };
  for (const std::string id : {"1", "\"call-17\"", "12345678", "\"a-long-id-of-more-than-fourteen\""}) {
    const std::string body = R"({"jsonrpc":"2.0","id":)" + id +
                             R"(,"method":"tools/call","params":{"name":"one","arguments":{"text":")" + large + "\"}}}";
    const auto answer = nlohmann::json::parse(bench.ask(body).body);
    EXPECT_EQ(answer["id"], nlohmann::json::parse(id));
    EXPECT_EQ(answer["result"], large);
    const auto sent = a->last();
    EXPECT_EQ(nlohmann::json::parse(sent.message)["id"], sent.id);
    EXPECT_TRUE(id.size() < 8 || sent.message.size() == body.size()) << id;
    EXPECT_LT(sent.id, 1ULL << 53U) << "JavaScript counts no further";
  }
}

TEST(Tools, what_is_under_way_when_the_runtime_ends_is_answered) {
  Bench bench;
  const auto a = bench.upstream("a", {"t"});
  a->hold_calls = true;
  const auto call = bench.serve(post(tool_call("t")));
  bench.runtime.reset();
  EXPECT_EQ(call->response().status, 502);
  Bench other;
  const auto b = other.upstream("b", {"t"});
  b->hold_lists = true;
  const auto waiting = other.serve(post(tool_call("t")));
  other.runtime.reset();
  EXPECT_EQ(waiting->response().status, 502);
}

TEST(Tools, a_call_that_may_have_run_is_repeated_only_if_its_tool_allows_that) {
  Bench bench;
  const auto upstream = bench.upstream("up", {});
  upstream->tools = {R"(reads","annotations":{"readOnlyHint":true},"x":")",
                     R"(same","annotations":{"idempotentHint":true},"x":")",
                     R"(writes","annotations":{"readOnlyHint":false},"x":")", "silent"};
  const auto retried = [](Bench& at, const std::string& tool) {
    mcp::Request request = post(tool_call(tool));
    request.retry = true;
    return at.serve(std::move(request))->response();
  };
  EXPECT_EQ(retried(bench, "reads").status, 200);
  EXPECT_EQ(retried(bench, "same").status, 200);
  const std::size_t seen = upstream->seen.size();
  for (const std::string tool : {"writes", "silent"}) {
    const auto response = retried(bench, tool);
    EXPECT_EQ(response.status, 502) << tool;
    EXPECT_THAT(response.body, HasSubstr(R"("code":-32010,"message":"Outcome unknown","data":{"outcome":"unknown"})"));
  }
  EXPECT_EQ(upstream->seen.size(), seen) << "nobody was asked";
  EXPECT_EQ(bench.ask(tool_call("writes")).status, 200) << "without the mark it is a call like any other";
  Bench other;
  other.upstream("far", {"writes"})->list_fails = kDown;
  EXPECT_THAT(retried(other, "writes").body, HasSubstr("-32010")) << "nobody knows whether it ran, nor what it does";
  EXPECT_THAT(other.ask(tool_call("writes")).body, HasSubstr("-32000"));
}

}  // namespace
}  // namespace ringside::test
