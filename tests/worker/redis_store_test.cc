// Sessions and streams in a Redis of the test's own, as two Ringsides share it.

#include "worker/store/redis_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/process.h"

namespace ringside::test {
namespace {

using worker::open_redis_stores;
using worker::Stores;

mcp::SessionRecord record(const std::string& id, std::int64_t seen_ms = 1000) {
  mcp::SessionRecord record;
  record.id = id;
  record.server_id = "s";
  record.owner = std::string("o\0\xc3\xbc", 4);
  record.fingerprint = "f";
  record.auth_expires_ms = 7;
  record.protocol_version = "2025-06-18";
  record.created_ms = 900;
  record.seen_ms = seen_ms;
  record.client = R"({"capabilities":{}})";
  return record;
}

worker::EventWrite event(const std::string& stream, std::uint64_t number, std::int64_t at_ms = 1000,
                         const std::string& session = "s") {
  return {{stream, session, "7", "tools/call", false}, {number, "data " + std::to_string(number)}, at_ms};
}

class Redis : public ::testing::Test {
 protected:
  Redis() { start(); }

  void start() {
    const std::string log = folder_.file("log");
    write_file(log, "");
    server_.emplace(
        ProcessOptions{.argv = {"redis-server", "--port", "0", "--unixsocket", socket_, "--dir", folder_.path(),
                                "--save", "", "--appendonly", "yes", "--appendfsync", "always"},
                       .stdout_path = log});
    EXPECT_TRUE(eventually([&] { return read_file(log).find("eady to accept connections") != std::string::npos; }))
        << read_file(log);
  }
  void kill() {
    server_->signal(SIGKILL);
    server_->wait();
    server_.reset();
  }
  Stores open(std::size_t kept = 5) {
    auto stores = open_redis_stores("unix:" + socket_, {.per_stream = kept}, [this] { ++changes_; });
    EXPECT_TRUE(stores.ok());
    return std::move(stores).value();
  }

  TempDir folder_;
  const std::string socket_ = folder_.file("r.sock");
  std::optional<Process> server_;
  std::atomic<int> changes_ = 0;
};

TEST_F(Redis, keeps_every_field_and_other_ringsides_see_it) {
  const auto one = open();
  const auto two = open();
  EXPECT_TRUE(one.sessions->create(record("a"), 0).value());
  const auto found = two.sessions->find("a", 0).value();
  ASSERT_TRUE(found.has_value());
  const auto wanted = record("a");
  EXPECT_EQ(found->server_id, wanted.server_id);
  EXPECT_EQ(found->owner, wanted.owner);
  EXPECT_EQ(found->fingerprint, wanted.fingerprint);
  EXPECT_EQ(found->auth_expires_ms, 7);
  EXPECT_EQ(found->protocol_version, wanted.protocol_version);
  EXPECT_EQ(found->created_ms, 900);
  EXPECT_EQ(found->seen_ms, 1000);
  EXPECT_EQ(found->client, wanted.client);
  EXPECT_EQ(found->home + found->state, "");
  EXPECT_FALSE(two.sessions->find("b", 0).value().has_value());
  EXPECT_FALSE(two.sessions->find("a", 1001).value().has_value()) << "expired";
}

TEST_F(Redis, an_id_is_taken_once_until_it_expires) {
  const auto stores = open();
  EXPECT_TRUE(stores.sessions->create(record("a", 1000), 0).value());
  EXPECT_EQ(stores.sessions->claim("a", "", "here").value(), "here");
  EXPECT_FALSE(stores.sessions->create(record("a", 2000), 1000).value());
  EXPECT_TRUE(stores.sessions->create(record("a", 2000), 1001).value());
  EXPECT_EQ(stores.sessions->find("a", 0).value()->home, "") << "another session of the same name";
}

TEST_F(Redis, an_update_replaces_and_never_brings_back) {
  const auto stores = open();
  EXPECT_FALSE(stores.sessions->update(record("a")).value());
  EXPECT_TRUE(stores.sessions->create(record("a", 2000), 0).value());
  auto changed = record("a", 1500);
  changed.fingerprint = "new";
  EXPECT_TRUE(stores.sessions->update(changed).value());
  EXPECT_EQ(stores.sessions->find("a", 0).value()->fingerprint, "new");
  EXPECT_EQ(stores.sessions->find("a", 0).value()->seen_ms, 2000) << "time goes forward only";
  EXPECT_TRUE(stores.sessions->erase("a").value());
  EXPECT_FALSE(stores.sessions->erase("a").value());
  EXPECT_FALSE(stores.sessions->update(changed).value());
}

TEST_F(Redis, touching_slides_and_expiring_removes) {
  const auto stores = open();
  for (const std::string id : {"a", "b", "c"}) EXPECT_TRUE(stores.sessions->create(record(id), 0).value());
  EXPECT_TRUE(stores.sessions->touch("a", 5000).ok());
  EXPECT_TRUE(stores.sessions->touch("a", 3000).ok());
  EXPECT_TRUE(stores.sessions->touch("nobody", 3000).ok());
  EXPECT_EQ(stores.sessions->expire(1000).value(), 0) << "seen then, not before";
  EXPECT_EQ(stores.sessions->expire(5000).value(), 2);
  EXPECT_EQ(stores.sessions->find("a", 0).value()->seen_ms, 5000);
}

TEST_F(Redis, of_two_that_claim_a_session_one_is_its_home) {
  const auto one = open();
  const auto two = open();
  EXPECT_TRUE(one.sessions->create(record("a"), 0).value());
  EXPECT_TRUE(one.sessions->create(record("b"), 0).value());
  EXPECT_EQ(one.sessions->claim("a", "", "first").value(), "first");
  EXPECT_EQ(two.sessions->claim("a", "", "second").value(), "first");
  EXPECT_TRUE(two.sessions->update(record("a")).value());
  EXPECT_EQ(two.sessions->find("a", 0).value()->home, "first") << "an update leaves it alone";
  EXPECT_EQ(two.sessions->claim("a", "first", "second").value(), "second");
  EXPECT_EQ(two.sessions->claim("b", "", "first").value(), "first");
  EXPECT_FALSE(two.sessions->claim("nobody", "", "second").value().has_value());
  EXPECT_TRUE(one.sessions->release("first").ok());
  EXPECT_EQ(one.sessions->find("a", 0).value()->home, "second");
  EXPECT_EQ(one.sessions->find("b", 0).value()->home, "");
  EXPECT_TRUE(one.sessions->set_state("b", "{}").ok());
  EXPECT_EQ(two.sessions->find("b", 0).value()->state, "{}");
}

TEST_F(Redis, a_session_that_ends_here_is_told_there) {
  const auto here = open();
  std::atomic<int> heard = 0;
  const auto there = std::move(open_redis_stores("unix:" + socket_, {}, [&] { ++heard; })).value();
  // A listener that has not been let in yet hears nothing; then it is the next one that it hears.
  int sessions = 0;
  EXPECT_TRUE(eventually([&] {
    const std::string id = std::to_string(++sessions);
    EXPECT_TRUE(here.sessions->create(record(id), 0).value());
    EXPECT_TRUE(here.sessions->erase(id).value());
    return heard > 0;
  }));
  EXPECT_EQ(changes_, 0) << "one's own news is none";
}

TEST_F(Redis, streams_are_gone_on_with_by_any_ringside) {
  const auto one = open();
  const auto two = open();
  EXPECT_TRUE(one.events->append({event("t", 0), event("t", 1), event("u", 0), event("t", 2)}).ok());
  auto last = event("t", 3);
  last.head.over = true;
  last.event.data = std::string("\0 \xf0\x9f\x98\x80", 6);
  EXPECT_TRUE(two.events->append({last}).ok());
  const auto replay = two.events->replay("s", "t", 0).value();
  ASSERT_TRUE(replay.has_value());
  ASSERT_EQ(replay->events.size(), 3U);
  EXPECT_EQ(replay->events[0].number, 1U);
  EXPECT_EQ(replay->events[1].data, "data 2");
  EXPECT_EQ(replay->events[2].data, last.event.data);
  EXPECT_EQ(replay->head.request_id, "7");
  EXPECT_EQ(replay->head.method, "tools/call");
  EXPECT_EQ(replay->last, 3U);
  EXPECT_TRUE(replay->head.over);
  EXPECT_FALSE(replay->evicted);
  EXPECT_FALSE(two.events->replay("other", "t", 0).value().has_value());
  EXPECT_FALSE(two.events->replay("s", "nobody", 0).value().has_value());
  EXPECT_TRUE(one.events->append({event("t", 4, 1000, "other")}).ok());
  EXPECT_FALSE(one.events->replay("other", "t", 0).value().has_value()) << "a stream keeps its session";
}

TEST_F(Redis, an_evicted_event_is_told_from_an_empty_replay) {
  const auto stores = open();
  for (std::uint64_t number = 0; number < 10; ++number) EXPECT_TRUE(stores.events->append({event("t", number)}).ok());
  EXPECT_TRUE(stores.events->replay("s", "t", 3).value()->evicted);
  EXPECT_FALSE(stores.events->replay("s", "t", 4).value()->evicted);
  EXPECT_EQ(stores.events->replay("s", "t", 4).value()->events.size(), 5U);
  EXPECT_FALSE(stores.events->replay("s", "t", 9).value()->evicted);
  EXPECT_FALSE(stores.events->replay("s", "t", 99).value()->evicted) << "a log that lags behind a crash";
}

TEST_F(Redis, events_end_with_their_time_and_their_session) {
  const auto stores = open();
  auto& events = *stores.events;
  EXPECT_TRUE(
      events.append({event("t", 0, 1000), event("t", 1, 3000), event("u", 0, 1000), event("v", 0, 3000, "w")}).ok());
  EXPECT_TRUE(events.expire(2000).ok());
  EXPECT_EQ(events.replay("s", "t", 0).value()->events.size(), 1U);
  EXPECT_FALSE(events.replay("s", "u", 0).value().has_value());
  EXPECT_TRUE(events.erase("s").ok());
  EXPECT_FALSE(events.replay("s", "t", 0).value().has_value());
  EXPECT_TRUE(events.replay("w", "v", 0).value().has_value());
}

TEST_F(Redis, killed_and_back_it_serves_what_it_had) {
  const auto stores = open();
  EXPECT_TRUE(stores.sessions->create(record("a"), 0).value());
  EXPECT_TRUE(stores.sessions->check().ok());
  kill();
  EXPECT_EQ(stores.sessions->find("a", 0).error().code, Code::kUnavailable);
  EXPECT_EQ(stores.sessions->check().error().code, Code::kUnavailable);
  EXPECT_EQ(stores.events->append({event("t", 0)}).error().code, Code::kUnavailable);
  start();
  EXPECT_TRUE(eventually([&] { return stores.sessions->check().ok(); }));
  EXPECT_TRUE(stores.sessions->find("a", 0).value().has_value());
  EXPECT_TRUE(eventually([&] { return stores.events->append({event("t", 0)}).ok(); }));
  EXPECT_TRUE(eventually([&] { return changes_ > 0; })) << "what was said meanwhile is not known";
}

TEST(RedisPlace, is_a_socket_or_a_host_and_a_port) {
  for (const std::string url : {"", "unix:", "host", ":1", "host:x", "host:"}) {
    EXPECT_FALSE(open_redis_stores(url, {}, [] {}).ok()) << url;
  }
}

}  // namespace
}  // namespace ringside::test
