// Who may use a session, how long it lives, and when the store is asked.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kInitialize =
    R"({"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-06-18"}})";

mcp::Request as(mcp::Request request, const std::string& email, const std::string& token = {}) {
  if (!email.empty()) request.auth_encoded = auth_of(email);
  if (!token.empty()) request.headers.set("authorization", token);
  return request;
}
mcp::Request ending(const std::string& session) {
  mcp::Request request;
  request.method = "DELETE";
  request.session_id = session;
  return request;
}

TEST(Sessions, an_unknown_one_is_not_found_even_for_ping) {
  Bench bench;
  for (const std::string& body :
       {std::string(kPing), std::string(kList), std::string(R"({"jsonrpc":"2.0","method":"x"})")}) {
    const auto response = bench.ask(body, "nobody");
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(response.body, R"({"detail":"Session not found"})");
  }
  EXPECT_EQ(bench.ask(kPing, "not a\nvalid id").status, 404);
}

TEST(Sessions, a_cached_one_is_served_without_the_store) {
  Bench bench;
  const std::string id = bench.open_session();
  const int finds = bench.store->finds;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(bench.ask(kPing, id).status, 200);
  EXPECT_EQ(bench.store->finds, finds);
  EXPECT_EQ(bench.store->touches, 0);
}

TEST(Sessions, an_epoch_that_advanced_makes_every_cached_one_be_read_again) {
  Bench bench;
  const std::string id = bench.open_session();
  const int finds = bench.store->finds;
  bench.epoch.fetch_add(1);
  EXPECT_EQ(bench.ask(kPing, id).status, 200);
  EXPECT_EQ(bench.ask(kPing, id).status, 200);
  EXPECT_EQ(bench.store->finds, finds + 1);
  bench.store->records.clear();
  EXPECT_EQ(bench.ask(kPing, id).status, 200) << "the cache may say so until the epoch advances";
  bench.epoch.fetch_add(1);
  EXPECT_EQ(bench.ask(kPing, id).status, 404);
}

TEST(Sessions, they_slide_with_use_and_end_with_disuse) {
  Bench bench;
  const std::string id = bench.open_session();
  for (int i = 0; i < 4; ++i) {
    bench.clock.advance(std::chrono::minutes(50));
    EXPECT_EQ(bench.ask(kPing, id).status, 200) << i;
  }
  bench.clock.advance(std::chrono::minutes(61));
  EXPECT_EQ(bench.ask(kPing, id).status, 404);
}

TEST(Sessions, the_store_is_touched_once_a_minute_at_the_most) {
  Bench bench;
  const std::string id = bench.open_session();
  for (int second = 0; second < 180; ++second) {
    bench.clock.advance(std::chrono::seconds(1));
    EXPECT_EQ(bench.ask(kPing, id).status, 200);
  }
  EXPECT_EQ(bench.store->touches, 3);
  bench.store->broken = true;
  bench.clock.advance(std::chrono::seconds(90));
  EXPECT_EQ(bench.ask(kPing, id).status, 200) << "a touch that fails is not the client's trouble";
}

TEST(Sessions, use_through_another_worker_counts) {
  Bench bench;
  const std::string id = bench.open_session();
  bench.clock.advance(std::chrono::minutes(59));
  bench.store->records.at(id).seen_ms = bench.clock.wall_ms();
  bench.clock.advance(std::chrono::minutes(59));
  EXPECT_EQ(bench.ask(kPing, id).status, 200);
}

TEST(Sessions, an_owner_admits_nobody_else) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "token-a"));
  EXPECT_EQ(bench.ask(as(post(kPing, id), "a@x", "token-a")).status, 200);
  EXPECT_EQ(bench.ask(as(post(kPing, id), "a@x", "token-a2")).status, 200) << "the context proves the owner";
  const auto denied = bench.ask(as(post(kPing, id), "b@x", "token-a"));
  EXPECT_EQ(denied.status, 403);
  EXPECT_EQ(denied.body, R"({"detail":"Session access denied"})");
  EXPECT_EQ(bench.ask(kPing, id).status, 403);
  auto scoped = as(post(kPing, id), "a@x");
  scoped.server_id = "other";
  EXPECT_EQ(bench.ask(scoped).status, 403);
  const auto other = bench.ask(as(post(kInitialize, id), "b@x"));
  EXPECT_EQ(other.status, 200);
  EXPECT_THAT(other.body, HasSubstr(R"("code":-32003,"message":"Access denied")"));
}

TEST(Sessions, a_fingerprint_reuses_an_unexpired_context) {
  Bench bench;
  auto open = as({}, "a@x", "token-a");
  open.auth_expires_ms = static_cast<std::uint64_t>(bench.clock.wall_ms() + 60'000);
  const std::string id = bench.open_session(open);
  EXPECT_EQ(bench.ask(as(post(kPing, id), "", "token-a")).status, 200);
  EXPECT_EQ(bench.ask(as(post(kPing, id), "", "token-b")).status, 403);
  bench.clock.advance(std::chrono::seconds(61));
  const auto expired = bench.ask(as(post(kPing, id), "", "token-a"));
  EXPECT_EQ(expired.status, 401);
  EXPECT_EQ(expired.body, R"({"detail":"Auth context expired"})");
}

TEST(Sessions, a_context_that_proves_the_owner_anew_replaces_the_proof_on_record) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "old"));
  auto anew = as(post(kPing, id), "a@x", "new");
  anew.auth_expires_ms = static_cast<std::uint64_t>(bench.clock.wall_ms() + 600'000);
  EXPECT_EQ(bench.ask(anew).status, 200);
  EXPECT_EQ(bench.store->updates, 1);
  EXPECT_EQ(bench.store->records.at(id).auth_expires_ms, bench.clock.wall_ms() + 600'000);
  EXPECT_EQ(bench.ask(as(post(kPing, id), "", "new")).status, 200);
  EXPECT_EQ(bench.ask(as(post(kPing, id), "", "old")).status, 403);
  for (int i = 0; i < 100; ++i) {
    bench.clock.advance(std::chrono::seconds(1));
    anew.auth_expires_ms = static_cast<std::uint64_t>(bench.clock.wall_ms() + 600'000);
    EXPECT_EQ(bench.ask(anew).status, 200);
  }
  EXPECT_EQ(bench.store->updates, 1) << "an expiry that moves on a little costs no write";
  anew.auth_expires_ms = static_cast<std::uint64_t>(bench.clock.wall_ms() + 1000);
  EXPECT_EQ(bench.ask(anew).status, 200);
  EXPECT_EQ(bench.store->updates, 2) << "an earlier one does";
}

TEST(Sessions, a_refusal_is_given_by_what_the_store_says_now) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "old"));
  auto record = bench.store->records.at(id);
  auto fresh = as(post(kPing, id), "", "new");
  EXPECT_EQ(bench.ask(fresh).status, 403);
  Bench second;  // the same session proven anew through another worker
  second.store = bench.store;
  EXPECT_EQ(second.ask(as(post(kPing, id), "a@x", "new")).status, 200);
  EXPECT_EQ(bench.ask(fresh).status, 200);
}

TEST(Sessions, initialize_under_an_own_id_again_renews_it) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "t"));
  auto again =
      as(post(R"({"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25"}})", id), "a@x",
         "t2");
  const auto response = bench.ask(again);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.get("mcp-session-id"), id);
  EXPECT_EQ(bench.store->records.at(id).protocol_version, "2025-11-25");
  EXPECT_EQ(bench.store->records.at(id).owner, "a@x");
  EXPECT_EQ(bench.ask(as(post(kPing, id), "", "t2")).status, 200);
}

TEST(Sessions, of_two_that_initialize_one_id_at_once_the_second_is_judged_by_the_first) {
  Bench bench;
  bench.start();
  // On a thread of its own, as another door's would be: serve() is not entered twice on one.
  bench.store->before_create = [&] {
    std::thread([&] { EXPECT_EQ(bench.ask(as(post(kInitialize, "one"), "a@x")).status, 200); }).join();
  };
  const auto late = bench.ask(as(post(kInitialize, "one"), "b@x"));
  EXPECT_THAT(late.body, HasSubstr("-32003"));
  EXPECT_EQ(bench.store->records.at("one").owner, "a@x");
}

TEST(Sessions, delete_ends_a_session_everywhere_before_it_answers) {
  Bench bench;
  bench.hold_invalidation = true;
  const std::string id = bench.open_session();
  const auto call = bench.serve(ending(id));
  EXPECT_FALSE(call->answered());
  EXPECT_EQ(bench.ask(kPing, id).status, 404);
  bench.held_invalidation();
  EXPECT_EQ(call->response().status, 204);
  EXPECT_EQ(call->response().body, "");
  EXPECT_EQ(bench.ask(ending(id)).status, 404);
}

TEST(Sessions, delete_is_refused_as_a_post_is) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "t"));
  EXPECT_EQ(bench.ask(ending("nobody")).status, 404);
  EXPECT_EQ(bench.ask(ending(id)).status, 403);
  const auto without = bench.ask(ending(""));
  EXPECT_EQ(without.status, 405);
  EXPECT_EQ(without.headers.get("allow"), "POST");
  EXPECT_EQ(bench.ask(as(ending(id), "a@x", "t")).status, 204);
}

TEST(Sessions, one_that_was_ended_elsewhere_does_not_come_back_by_a_new_proof) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "old"));
  bench.store->records.clear();
  EXPECT_EQ(bench.ask(as(post(kPing, id), "a@x", "new")).status, 404);
  EXPECT_TRUE(bench.store->records.empty());
}

TEST(Sessions, a_store_in_trouble_is_502_of_the_module) {
  Bench bench;
  const std::string id = bench.open_session(as({}, "a@x", "t"));
  bench.store->broken = true;
  bench.epoch.fetch_add(1);
  for (const auto& request :
       {as(post(kPing, id), "a@x", "t"), as(post(kInitialize), "a@x"), as(ending(id), "a@x", "t")}) {
    const auto response = bench.ask(request);
    EXPECT_EQ(response.status, 502);
    EXPECT_THAT(response.body, HasSubstr(R"("code":-32000)"));
    EXPECT_THAT(response.body, HasSubstr(R"("data":{"origin":"module"})"));
  }
  EXPECT_EQ(bench.ask(kPing).status, 200) << "what needs no session needs no store";
}

TEST(Sessions, old_ones_are_removed_now_and_then) {
  Bench bench;
  bench.open_session();
  EXPECT_EQ(bench.store->expires, 1);
  bench.open_session();
  EXPECT_EQ(bench.store->expires, 1);
  bench.clock.advance(std::chrono::hours(2));
  bench.open_session();
  EXPECT_EQ(bench.store->expires, 2);
  EXPECT_EQ(bench.store->records.size(), 1U);
}

TEST(Sessions, the_cache_is_bounded_and_forgets_the_one_used_longest_ago) {
  Bench bench;
  const std::string busy = bench.open_session();
  for (int i = 0; i < 40'000; ++i) {
    bench.open_session();
    if (i % 100 == 0) {
      EXPECT_EQ(bench.ask(kPing, busy).status, 200);
    }
  }
  EXPECT_EQ(bench.store->finds, 0) << "the busy one was never forgotten";
  int read = 0;
  for (const auto& [id, record] : std::map(bench.store->records)) {
    const int before = bench.store->finds;
    EXPECT_EQ(bench.ask(kPing, id).status, 200);
    read += bench.store->finds - before;
  }
  EXPECT_GT(read, 20'000) << "16,384 fit";
}

}  // namespace
}  // namespace ringside::test
