// What lives with a session at its home: numbered streams that a client comes back to, questions and their answers,
// cancellation.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcp/sse.h"
#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kLog = R"({"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hi"}})";

/// A runtime that keeps events, with one upstream that keeps its calls until the test answers them.
struct Home {
  Home() {
    bench.events = std::move(worker::open_sqlite_events(folder.file("events.db"), {.per_stream = 5})).value();
    a->hold_calls = true;
    session = bench.open_session({}, "2025-11-25", R"({"elicitation":{}})");
  }
  std::shared_ptr<TestCall> call(const std::string& id = "1") {
    mcp::Request request = post(tool_call("t", "{}", id), session);
    request.stream = true;
    return bench.serve(std::move(request));
  }
  std::shared_ptr<TestCall> get(const std::string& last_event_id = {}, const std::string& of = {}) {
    mcp::Request request;
    request.method = "GET";
    request.session_id = of.empty() ? session : of;
    request.stream = true;
    if (!last_event_id.empty()) request.headers.set("last-event-id", last_event_id);
    return bench.serve(std::move(request));
  }
  static std::vector<mcp::SseEvent> events_of(const std::string& text) {
    std::vector<mcp::SseEvent> events;
    mcp::SseParser parser(1U << 20U);
    EXPECT_TRUE(parser.feed(text, [&](mcp::SseEvent&& event) { events.push_back(std::move(event)); }).ok());
    return events;
  }

  TempDir folder;
  Bench bench;
  std::shared_ptr<UpstreamScript> a = bench.upstream("a", {"t"});
  std::string session;
};

TEST(AtHome, a_stream_is_primed_and_numbered) {
  Home home;
  const auto call = home.call();
  home.a->say(std::string(kLog));
  home.a->release();
  const auto events = Home::events_of(call->response().body);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].data, "");
  EXPECT_TRUE(events[0].retry_ms.has_value());
  EXPECT_EQ(events[1].data, kLog);
  EXPECT_TRUE(events[0].id->ends_with("-0"));
  EXPECT_TRUE(events[2].id->ends_with("-2"));
}

TEST(AtHome, a_client_resumes_where_it_stopped_and_hears_nothing_twice) {
  Home home;
  const auto call = home.call();
  home.a->say(std::string(kLog));
  const auto first = Home::events_of(call->text());
  home.a->say(std::string(kLog));
  const auto again = home.get(*first.back().id);
  ASSERT_TRUE(eventually([&] { return again->begun(); }));
  EXPECT_TRUE(call->answered()) << "one call hears a stream";
  home.a->release();
  const auto events = Home::events_of(again->response().body);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].data, kLog);
  EXPECT_THAT(events[1].data, HasSubstr(R"("from":"a")"));
}

TEST(AtHome, another_sessions_event_id_is_refused) {
  Home home;
  const auto call = home.call();
  home.a->say(std::string(kLog));
  const auto id = *Home::events_of(call->text()).back().id;
  EXPECT_EQ(home.get(id, home.bench.open_session())->response().status, 400);
  EXPECT_EQ(home.get("garbage")->response().status, 400);
}

TEST(AtHome, an_evicted_id_is_told_from_an_empty_replay) {
  Home home;
  const auto call = home.call();
  for (int i = 0; i < 10; ++i) home.a->say(std::string(kLog));
  home.a->release();
  const auto events = Home::events_of(call->response().body);
  EXPECT_THAT(home.get(*events[1].id)->response().body, HasSubstr("evicted"));
  const auto last = home.get(*events.back().id);
  EXPECT_EQ(last->response().status, 200);
  EXPECT_EQ(last->response().body, "");
}

TEST(AtHome, a_stream_survives_its_worker_and_ends_with_outcome_unknown) {
  Home home;
  const auto call = home.call();
  home.a->say(std::string(kLog));
  const auto id = *Home::events_of(call->text()).front().id;
  // Another worker of the same store and log.
  Bench other;
  other.store = home.bench.store;
  home.bench.runtime.reset();
  other.events = std::move(worker::open_sqlite_events(home.folder.file("events.db"), {})).value();
  mcp::Request request;
  request.method = "GET";
  request.session_id = home.session;
  request.stream = true;
  request.headers.set("last-event-id", id);
  const auto again = other.serve(std::move(request));
  const auto events = Home::events_of(again->response().body);
  ASSERT_GE(events.size(), 2U);
  EXPECT_EQ(events[0].data, kLog);
}

TEST(AtHome, a_number_that_a_client_knows_and_the_log_does_not_is_not_given_again) {
  Home home;
  const auto before = home.get();
  const std::string first = *Home::events_of(before->text()).front().id;
  const std::string token = first.substr(0, first.size() - 1);
  Bench other;
  other.store = home.bench.store;
  other.upstream("a", {"t"});
  home.bench.runtime.reset();
  other.events = std::move(worker::open_sqlite_events(home.folder.file("events.db"), {})).value();
  mcp::Request request;
  request.method = "GET";
  request.session_id = home.session;
  request.stream = true;
  request.headers.set("last-event-id", token + "7");
  const auto again = other.serve(std::move(request));
  ASSERT_TRUE(eventually([&] { return again->begun(); }));
  ASSERT_TRUE(eventually([&] {
    other.scripts[0]->sink->list_changed(0, nullptr, worker::UpstreamSink::List::kTools);
    return !again->text().empty();
  }));
  EXPECT_EQ(*Home::events_of(again->text()).front().id, token + "8");
}

TEST(AtHome, a_question_finds_its_client_and_its_answer_goes_back) {
  Home home;
  const auto call = home.call();
  EXPECT_TRUE(home.a->ask_amid("elicitation/create", "77"));
  EXPECT_FALSE(home.a->ask_amid("sampling/createMessage")) << "the client did not say that it can";
  const auto events = Home::events_of(call->text());
  const std::string id(*mcp::member(events.back().data, "id"));
  EXPECT_TRUE(id.starts_with("\"q-"));
  EXPECT_EQ(home.bench.ask(R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{"x":1}})", home.session).status, 202);
  ASSERT_EQ(home.a->replies.size(), 1U);
  EXPECT_EQ(home.a->replies[0].second, R"({"jsonrpc":"2.0","id":77,"result":{"x":1}})");
  EXPECT_EQ(home.bench.ask(R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{}})", home.session).status, 400)
      << "it has been answered";
}

TEST(AtHome, a_message_is_heard_on_one_stream_only) {
  Home home;
  const auto first = home.get();
  const auto second = home.get();
  const auto call = home.call();
  home.a->sink->notice(0, home.a->last().persona, "notifications/message", std::string(kLog));
  const auto heard = [](const auto& each) { return each->text().find("hi") != std::string::npos ? 1 : 0; };
  EXPECT_EQ(heard(first) + heard(second) + heard(call), 1);
}

TEST(AtHome, one_and_quoted_one_are_two_calls_and_a_cancelled_one_is_cancelled_upstream) {
  Home home;
  const auto number = home.call("1");
  const std::uint64_t first = home.a->last().id;
  const auto text = home.call("\"1\"");
  EXPECT_EQ(
      home.bench.ask(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})", home.session)
          .status,
      202);
  EXPECT_EQ(home.a->cancelled, std::vector<std::uint64_t>{first});
  EXPECT_TRUE(number->answered());
  EXPECT_EQ(number->text(), "") << "no answer comes to what was cancelled";
  EXPECT_FALSE(text->answered());
}

}  // namespace
}  // namespace ringside::test
