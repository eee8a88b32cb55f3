// The streams that clients open with GET: who may, what they hear, and when they end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "mcp/sse.h"
#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using worker::Written;

const std::string kChanged = mcp::format_sse(R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})");

mcp::Request get(const std::string& session, const std::string& email = {}) {
  mcp::Request request;
  request.method = "GET";
  request.path = "/mcp";
  request.session_id = session;
  request.stream = true;
  if (!email.empty()) request.auth_encoded = auth_of(email);
  return request;
}
mcp::Request ending(const std::string& session) {
  mcp::Request request;
  request.method = "DELETE";
  request.session_id = session;
  return request;
}

/// A runtime with an upstream whose tools change, and sessions that listen.
struct House {
  std::shared_ptr<TestCall> listen(const std::string& session) {
    const auto call = bench.serve(get(session));
    EXPECT_TRUE(call->begun());
    return call;
  }
  [[nodiscard]] std::uint32_t under_way() const { return bench.runtime->stats().under_way; }

  Bench bench;
  std::shared_ptr<UpstreamScript> a = bench.upstream("a", {"t"});
};

TEST(Listeners, a_stream_without_a_session_is_405) {
  Bench bench;
  const auto refused = bench.ask(get({}));
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("allow"), "POST");
}

TEST(Listeners, a_get_whose_caller_takes_no_stream_is_405) {
  Bench bench;
  auto request = get(bench.open_session());
  request.stream = false;
  request.headers.set("accept", "text/event-stream");
  const auto refused = bench.ask(std::move(request));
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers.get("allow"), "POST, DELETE");
}

TEST(Listeners, an_unknown_session_is_404_and_somebody_elses_403) {
  Bench bench;
  EXPECT_EQ(bench.ask(get("nobody")).status, 404);
  mcp::Request open;
  open.auth_encoded = auth_of("a@x");
  const std::string id = bench.open_session(open);
  EXPECT_EQ(bench.ask(get(id, "b@x")).status, 403);
  EXPECT_EQ(bench.ask(get(id)).status, 403);
  auto scoped = get(id, "a@x");
  scoped.server_id = "other";
  EXPECT_EQ(bench.ask(std::move(scoped)).status, 403);
  EXPECT_EQ(bench.serve(get(id, "a@x"))->begun(), true);
  bench.store->broken = true;
  bench.epoch.fetch_add(1);
  EXPECT_EQ(bench.ask(get(id, "a@x")).status, 502);
}

TEST(Listeners, a_stream_begins_with_nothing_and_hears_that_tools_changed) {
  House house;
  const auto call = house.listen(house.bench.open_session());
  EXPECT_EQ(call->text(), "");
  EXPECT_FALSE(call->answered());
  EXPECT_EQ(house.under_way(), 1U);
  house.a->changed();
  EXPECT_EQ(call->text(), kChanged);
  house.bench.ask(kList);
  house.a->changed();
  EXPECT_EQ(call->text(), kChanged + kChanged);
  EXPECT_FALSE(call->answered());
}

TEST(Listeners, what_an_upstream_says_again_before_anybody_asked_is_no_news) {
  House house;
  const auto b = house.bench.upstream("b", {"u"});
  const auto call = house.listen(house.bench.open_session());
  for (int i = 0; i < 100; ++i) house.a->changed();
  EXPECT_EQ(call->text(), kChanged);
  b->changed();
  EXPECT_EQ(call->text(), kChanged + kChanged) << "what another one says is";
  house.a->changed();
  b->changed();
  EXPECT_EQ(call->text(), kChanged + kChanged);
  house.bench.ask(kList);
  house.a->changed();
  EXPECT_EQ(call->text(), kChanged + kChanged + kChanged) << "and so is what comes after the list was read";
}

TEST(Listeners, news_that_is_said_again_reaches_who_came_meanwhile) {
  House house;
  const std::string session = house.bench.open_session();
  const auto early = house.listen(session);
  house.a->changed();
  const auto late = house.listen(house.bench.open_session());
  house.a->changed();
  EXPECT_EQ(early->text(), kChanged);
  EXPECT_EQ(late->text(), kChanged);
  early->cancel();
  const auto again = house.listen(session);
  house.a->changed();
  EXPECT_EQ(again->text(), kChanged) << "it may have gone with the stream that broke";
}

TEST(Listeners, one_stream_of_each_session_hears_a_message) {
  House house;
  const std::string first = house.bench.open_session();
  const std::string second = house.bench.open_session();
  const std::vector<std::shared_ptr<TestCall>> calls = {house.listen(first), house.listen(first), house.listen(second)};
  house.a->changed();
  EXPECT_EQ(calls[0]->text() + calls[1]->text(), kChanged);
  EXPECT_EQ(calls[2]->text(), kChanged);
  calls[1]->cancel();
  house.a->changed();
  EXPECT_EQ(calls[0]->text(), kChanged) << "the one that is left hears the next";
}

TEST(Listeners, a_client_that_goes_away_ends_its_own_stream_only) {
  House house;
  const std::string session = house.bench.open_session();
  const auto gone = house.listen(session);
  const auto kept = house.listen(session);
  gone->cancel();
  EXPECT_EQ(gone->answers(), 1);
  EXPECT_FALSE(kept->answered());
  EXPECT_EQ(house.under_way(), 1U);
  house.a->changed();
  EXPECT_EQ(kept->text(), kChanged);
  EXPECT_EQ(gone->text(), "");
}

TEST(Listeners, a_call_given_up_before_it_is_served_leaves_no_stream) {
  House house;
  const std::string session = house.bench.open_session();
  const auto call = std::make_shared<TestCall>(get(session));
  call->cancel();
  house.bench.runtime->serve(call);
  EXPECT_EQ(call->answers(), 1);
  EXPECT_EQ(house.under_way(), 0U);
  house.a->changed();
  EXPECT_EQ(call->text(), "");
}

TEST(Listeners, a_call_that_is_answered_already_leaves_no_stream) {
  House house;
  const std::string session = house.bench.open_session();
  const auto call = std::make_shared<TestCall>(get(session));
  call->answer({});
  house.bench.runtime->serve(call);
  house.a->changed();
  EXPECT_EQ(call->text(), "");
}

TEST(Listeners, whoever_leaves_too_much_unread_is_cut_off_and_the_others_are_not) {
  House house;
  const auto slow = house.listen(house.bench.open_session());
  const auto good = house.listen(house.bench.open_session());
  slow->read(Written::kSlow);
  house.a->changed();
  EXPECT_FALSE(slow->answered()) << "what it has not read is kept";
  slow->read(Written::kCut);
  house.bench.ask(kList);
  house.a->changed();
  EXPECT_TRUE(slow->answered());
  EXPECT_FALSE(good->answered());
  EXPECT_EQ(good->text(), kChanged + kChanged);
}

TEST(Listeners, the_end_of_a_session_ends_its_streams) {
  House house;
  const std::string session = house.bench.open_session();
  const std::string other = house.bench.open_session();
  const auto first = house.listen(session);
  const auto second = house.listen(session);
  const auto kept = house.listen(other);
  EXPECT_EQ(house.bench.ask(ending(session)).status, 204);
  EXPECT_EQ(first->answers(), 1);
  EXPECT_EQ(second->answers(), 1);
  EXPECT_FALSE(kept->answered());
  EXPECT_EQ(house.bench.ask(get(session)).status, 404);
  EXPECT_EQ(house.under_way(), 1U);
}

TEST(Listeners, a_delete_that_is_not_the_owners_ends_nothing) {
  Bench bench;
  mcp::Request open;
  open.auth_encoded = auth_of("a@x");
  const std::string session = bench.open_session(open);
  const auto call = bench.serve(get(session, "a@x"));
  EXPECT_EQ(bench.ask(ending(session)).status, 403);
  EXPECT_FALSE(call->answered());
}

TEST(Listeners, the_seventeenth_stream_of_a_session_is_429_until_one_ends) {
  House house;
  const std::string session = house.bench.open_session();
  std::vector<std::shared_ptr<TestCall>> calls;
  for (int i = 0; i < 16; ++i) calls.push_back(house.listen(session));
  EXPECT_EQ(house.bench.ask(get(session)).status, 429);
  house.listen(house.bench.open_session())->cancel();
  calls[7]->cancel();
  calls.push_back(house.listen(session));
  EXPECT_EQ(house.bench.ask(get(session)).status, 429);
  EXPECT_EQ(house.under_way(), 16U);
}

TEST(Listeners, a_session_that_was_ended_elsewhere_is_noticed_by_its_epoch) {
  House house;
  const std::string session = house.bench.open_session();
  const std::string other = house.bench.open_session();
  const auto call = house.listen(session);
  const auto kept = house.listen(other);
  house.bench.runtime->look_after_streams();
  house.bench.store->records.erase(session);
  const int finds = house.bench.store->finds;
  house.bench.runtime->look_after_streams();
  EXPECT_EQ(house.bench.store->finds, finds) << "nothing has been said";
  EXPECT_FALSE(call->answered());
  house.bench.epoch.fetch_add(1);
  house.bench.runtime->look_after_streams();
  EXPECT_TRUE(call->answered());
  EXPECT_FALSE(kept->answered());
}

TEST(Listeners, a_session_that_expires_ends_within_a_minute_or_two) {
  House house;
  const auto call = house.listen(house.bench.open_session());
  house.bench.runtime->look_after_streams();
  house.bench.clock.advance(std::chrono::minutes(59));
  house.bench.runtime->look_after_streams();
  EXPECT_FALSE(call->answered());
  house.bench.clock.advance(std::chrono::minutes(2));
  house.bench.runtime->look_after_streams();
  EXPECT_TRUE(call->answered());
}

TEST(Listeners, a_store_in_trouble_ends_no_stream) {
  House house;
  const auto call = house.listen(house.bench.open_session());
  house.bench.store->broken = true;
  house.bench.epoch.fetch_add(1);
  house.bench.runtime->look_after_streams();
  EXPECT_FALSE(call->answered());
}

TEST(Listeners, a_worker_that_drains_ends_all_and_later_ones_as_they_begin) {
  House house;
  const std::string session = house.bench.open_session();
  const auto call = house.listen(session);
  const auto other = house.listen(house.bench.open_session());
  house.bench.runtime->end_streams();
  EXPECT_EQ(call->answers(), 1);
  EXPECT_EQ(other->answers(), 1);
  const auto late = house.listen(session);
  EXPECT_EQ(late->answers(), 1);
  EXPECT_EQ(late->response().status, 200);
  EXPECT_EQ(house.under_way(), 0U);
  house.a->changed();
  EXPECT_EQ(late->text(), "");
  EXPECT_EQ(house.bench.ask(kPing, session).status, 200) << "calls go on";
}

TEST(Listeners, the_end_of_the_runtime_ends_them) {
  House house;
  const auto call = house.listen(house.bench.open_session());
  house.bench.runtime.reset();
  EXPECT_EQ(call->answers(), 1);
  call->cancel();
  EXPECT_EQ(call->answers(), 1);
}

}  // namespace
}  // namespace ringside::test
