// Sessions in a SQLite file, as several workers share it.

#include "worker/store/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <thread>
#include <vector>

#include "tests/support/process.h"

namespace ringside::test {
namespace {

using worker::open_sqlite_store;
using worker::SessionStore;

mcp::SessionRecord record(const std::string& id, std::int64_t seen_ms = 1000) {
  mcp::SessionRecord record;
  record.id = id;
  record.server_id = "s";
  record.owner = std::string("o\0ü", 4);
  record.fingerprint = "f";
  record.auth_expires_ms = 7;
  record.protocol_version = "2025-06-18";
  record.created_ms = 900;
  record.seen_ms = seen_ms;
  record.client = R"({"capabilities":{}})";
  return record;
}

class Store : public ::testing::Test {
 protected:
  std::unique_ptr<SessionStore> open() {
    auto store = open_sqlite_store(path_);
    EXPECT_TRUE(store.ok());
    return std::move(store).value();
  }
  void run(const std::string& sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  [[nodiscard]] static mode_t mode_of(const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777U : 0;
  }

  TempDir folder_;
  std::string path_ = folder_.file("sessions.db");
};

TEST_F(Store, workers_that_make_a_new_file_at_once_all_open_it) {
  for (int round = 0; round < 20; ++round) {
    path_ = folder_.file("new-" + std::to_string(round));
    std::vector<std::thread> workers;
    for (int i = 0; i < 4; ++i) workers.emplace_back([this] { EXPECT_TRUE(open_sqlite_store(path_).ok()); });
    for (auto& worker : workers) worker.join();
  }
}

TEST_F(Store, keeps_every_field_and_other_workers_see_it) {
  const auto one = open();
  const auto two = open();
  EXPECT_TRUE(one->create(record("a"), 0).value());
  const auto found = two->find("a", 0).value();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, "a");
  EXPECT_EQ(found->server_id, "s");
  EXPECT_EQ(found->owner, std::string("o\0ü", 4));
  EXPECT_EQ(found->fingerprint, "f");
  EXPECT_EQ(found->auth_expires_ms, 7);
  EXPECT_EQ(found->protocol_version, "2025-06-18");
  EXPECT_EQ(found->created_ms, 900);
  EXPECT_EQ(found->seen_ms, 1000);
  EXPECT_EQ(found->client, R"({"capabilities":{}})");
  EXPECT_EQ(found->home, "");
  EXPECT_FALSE(two->find("b", 0).value().has_value());
}

TEST_F(Store, an_id_is_taken_once_until_it_expires) {
  const auto store = open();
  EXPECT_TRUE(store->create(record("a"), 0).value());
  auto other = record("a", 3000);
  other.owner = "thief";
  EXPECT_FALSE(store->create(other, 1000).value());
  EXPECT_NE(store->find("a", 0).value()->owner, "thief");
  EXPECT_TRUE(store->create(other, 1001).value());
  EXPECT_EQ(store->find("a", 0).value()->owner, "thief");
}

TEST_F(Store, an_update_replaces_and_never_brings_back) {
  const auto store = open();
  EXPECT_TRUE(store->create(record("a"), 0).value());
  auto changed = record("a", 500);
  changed.fingerprint = "g";
  EXPECT_TRUE(store->update(changed).value());
  EXPECT_EQ(store->find("a", 0).value()->fingerprint, "g");
  EXPECT_EQ(store->find("a", 0).value()->seen_ms, 1000) << "time goes forward only";
  EXPECT_TRUE(store->erase("a").value());
  EXPECT_FALSE(store->erase("a").value());
  EXPECT_FALSE(store->update(changed).value());
  EXPECT_FALSE(store->find("a", 0).value().has_value());
}

TEST_F(Store, touching_slides_and_expiring_removes) {
  const auto store = open();
  for (const std::string id : {"a", "b", "c"}) EXPECT_TRUE(store->create(record(id), 0).value());
  EXPECT_TRUE(store->touch("a", 2000).ok());
  EXPECT_TRUE(store->touch("a", 1500).ok());
  EXPECT_TRUE(store->touch("nobody", 1500).ok());
  EXPECT_TRUE(store->find("a", 2000).value().has_value());
  EXPECT_FALSE(store->find("b", 2000).value().has_value());
  EXPECT_EQ(store->expire(2000).value(), 2);
  EXPECT_FALSE(store->find("b", 0).value().has_value());
}

TEST_F(Store, is_readable_by_its_owner_only_and_outlives_its_process) {
  {
    const auto store = open();
    EXPECT_TRUE(store->create(record("a"), 0).value());
    EXPECT_EQ(mode_of(path_), 0600U);
    EXPECT_EQ(mode_of(path_ + "-wal"), 0600U);
  }
  ASSERT_EQ(::chmod(path_.c_str(), 0644), 0);
  const auto store = open();
  EXPECT_EQ(mode_of(path_), 0600U);
  EXPECT_TRUE(store->find("a", 0).value().has_value());
}

TEST_F(Store, many_workers_may_open_it_at_once) {
  std::vector<std::thread> workers;
  std::atomic<int> created{0};
  for (int i = 0; i < 8; ++i) {
    workers.emplace_back([&, i] {
      const auto store = open();
      if (store->create(record(std::to_string(i)), 0).value()) ++created;
      if (store->create(record("one for all"), 0).value()) ++created;
    });
  }
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(created, 9);
}

TEST_F(Store, what_cannot_be_used_is_an_error) {
  EXPECT_EQ(open_sqlite_store(folder_.file("missing/sessions.db")).error().code, Code::kSystem);
  EXPECT_EQ(open_sqlite_store(folder_.path()).error().code, Code::kSystem) << "a folder";
  ASSERT_EQ(::symlink("/nowhere", folder_.file("link").c_str()), 0);
  EXPECT_EQ(open_sqlite_store(folder_.file("link")).error().code, Code::kSystem);
  write_file(path_, std::string(8192, 'x'));
  EXPECT_EQ(open_sqlite_store(path_).error().code, Code::kSystem) << "no database";
}

TEST_F(Store, a_file_of_another_version_is_left_alone) {
  run("CREATE TABLE sessions (id TEXT); PRAGMA user_version = 3");
  EXPECT_EQ(open_sqlite_store(path_).error().code, Code::kSystem);
  run("SELECT id FROM sessions");
}

TEST_F(Store, a_file_of_the_version_before_is_taken_over) {
  run("CREATE TABLE sessions (id TEXT PRIMARY KEY NOT NULL, server_id TEXT NOT NULL, owner TEXT NOT NULL, fingerprint"
      " TEXT NOT NULL, auth_expires_ms INTEGER NOT NULL, protocol_version TEXT NOT NULL, created_ms INTEGER NOT NULL,"
      " seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID; PRAGMA user_version = 1;"
      "INSERT INTO sessions VALUES ('old', 's', 'o', 'f', 0, '2025-06-18', 1, 2)");
  const auto store = open();
  const auto found = store->find("old", 0).value();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->owner, "o");
  EXPECT_EQ(found->client, "");
}

TEST_F(Store, of_two_that_claim_a_session_one_is_its_home) {
  const auto one = open();
  const auto two = open();
  EXPECT_TRUE(one->create(record("a"), 0).value());
  EXPECT_EQ(one->claim("a", "", "first").value(), "first");
  EXPECT_EQ(two->claim("a", "", "second").value(), "first");
  EXPECT_EQ(two->find("a", 0).value()->home, "first");
  EXPECT_TRUE(two->update(record("a")).value());
  EXPECT_EQ(two->find("a", 0).value()->home, "first") << "an update leaves it alone";
  EXPECT_EQ(two->claim("a", "first", "second").value(), "second");
  EXPECT_FALSE(two->claim("nobody", "", "second").value().has_value());
}

TEST_F(Store, a_home_that_is_left_is_nobodys) {
  const auto store = open();
  for (const std::string id : {"a", "b"}) EXPECT_TRUE(store->create(record(id), 0).value());
  EXPECT_EQ(store->claim("a", "", "here").value(), "here");
  EXPECT_EQ(store->claim("b", "", "there").value(), "there");
  EXPECT_TRUE(store->release("here").ok());
  EXPECT_EQ(store->find("a", 0).value()->home, "");
  EXPECT_EQ(store->find("b", 0).value()->home, "there");
  EXPECT_TRUE(store->set_state("b", R"({"level":"info"})").ok());
  EXPECT_EQ(store->find("b", 0).value()->state, R"({"level":"info"})");
}

worker::EventWrite event(const std::string& stream, std::uint64_t number, std::int64_t at_ms = 1000,
                         const std::string& session = "s") {
  return {{stream, session, "7", "tools/call", false}, {number, "data " + std::to_string(number)}, at_ms};
}

class Events : public Store {
 protected:
  std::unique_ptr<worker::EventLog> open_events(std::size_t kept = 5) {
    return std::move(worker::open_sqlite_events(folder_.file("events.db"), {.per_stream = kept})).value();
  }
};

TEST_F(Events, are_replayed_from_where_a_client_stopped_to_any_worker) {
  const auto one = open_events();
  const auto two = open_events();
  EXPECT_TRUE(one->append({event("t", 0), event("t", 1), event("u", 0), event("t", 2)}).ok());
  const auto replay = two->replay("s", "t", 0).value();
  ASSERT_TRUE(replay.has_value());
  ASSERT_EQ(replay->events.size(), 2U);
  EXPECT_EQ(replay->events[0].number, 1U);
  EXPECT_EQ(replay->events[1].data, "data 2");
  EXPECT_EQ(replay->head.request_id, "7");
  EXPECT_EQ(replay->last, 2U);
  EXPECT_FALSE(replay->head.over);
  EXPECT_FALSE(replay->evicted);
}

TEST_F(Events, of_another_session_or_stream_are_nobodys) {
  const auto events = open_events();
  EXPECT_TRUE(events->append({event("t", 0)}).ok());
  EXPECT_FALSE(events->replay("other", "t", 0).value().has_value());
  EXPECT_FALSE(events->replay("s", "u", 0).value().has_value());
  EXPECT_TRUE(events->append({event("t", 1, 1000, "other")}).ok());
  EXPECT_FALSE(events->replay("other", "t", 0).value().has_value()) << "a stream keeps its session";
}

TEST_F(Events, an_evicted_one_is_told_from_an_empty_replay) {
  const auto events = open_events();
  for (std::uint64_t number = 0; number < 10; ++number) EXPECT_TRUE(events->append({event("t", number)}).ok());
  EXPECT_TRUE(events->replay("s", "t", 3).value()->evicted);
  const auto kept = events->replay("s", "t", 4).value();
  EXPECT_FALSE(kept->evicted);
  EXPECT_EQ(kept->events.size(), 5U);
  const auto all = events->replay("s", "t", 9).value();
  EXPECT_FALSE(all->evicted);
  EXPECT_TRUE(all->events.empty());
  EXPECT_FALSE(events->replay("s", "t", 99).value()->evicted) << "a log that lags behind a crash";
}

TEST_F(Events, a_gap_is_an_eviction) {
  const auto events = open_events();
  EXPECT_TRUE(events->append({event("t", 0), event("t", 2)}).ok());
  EXPECT_TRUE(events->replay("s", "t", 0).value()->evicted);
  EXPECT_FALSE(events->replay("s", "t", 1).value()->evicted);
}

TEST_F(Events, end_with_their_time_and_their_session) {
  const auto events = open_events();
  EXPECT_TRUE(
      events->append({event("t", 0, 1000), event("t", 1, 3000), event("u", 0, 1000), event("v", 0, 3000, "w")}).ok());
  EXPECT_GT(events->expire(2000).value(), 0);
  EXPECT_EQ(events->replay("s", "t", 0).value()->events.size(), 1U);
  EXPECT_FALSE(events->replay("s", "u", 0).value().has_value());
  EXPECT_TRUE(events->erase("s").ok());
  EXPECT_FALSE(events->replay("s", "t", 0).value().has_value());
  EXPECT_TRUE(events->replay("w", "v", 0).value().has_value());
}

TEST_F(Events, the_last_one_says_that_it_is_over) {
  const auto events = open_events();
  auto last = event("t", 1);
  last.head.over = true;
  EXPECT_TRUE(events->append({event("t", 0), last}).ok());
  EXPECT_TRUE(events->replay("s", "t", 1).value()->head.over);
}

TEST_F(Store, trouble_while_it_is_used_is_an_error_and_passes) {
  const auto store = open();
  EXPECT_TRUE(store->create(record("a"), 0).value());
  run("ALTER TABLE sessions RENAME TO hidden");
  EXPECT_FALSE(store->find("a", 0).ok());
  EXPECT_FALSE(store->create(record("b"), 0).ok());
  EXPECT_FALSE(store->touch("a", 1).ok());
  run("ALTER TABLE hidden RENAME TO sessions");
  EXPECT_TRUE(store->find("a", 0).value().has_value());
}

TEST_F(Store, one_that_is_locked_for_long_says_that_it_will_pass) {
  const auto store = open();
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_EQ(store->create(record("a"), 0).error().code, Code::kUnavailable);
  EXPECT_FALSE(store->find("a", 0).value().has_value()) << "readers go on";
  sqlite3_exec(database, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  EXPECT_TRUE(store->create(record("a"), 0).value());
}

}  // namespace
}  // namespace ringside::test
