#include <array>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "worker/store/sqlite_database.h"
#include "worker/store/store.h"

namespace ringside::worker {
namespace {

constexpr std::array<const char*, 2> kSchema = {
    "CREATE TABLE sessions ("
    " id TEXT PRIMARY KEY NOT NULL,"
    " server_id TEXT NOT NULL,"
    " owner TEXT NOT NULL,"
    " fingerprint TEXT NOT NULL,"
    " auth_expires_ms INTEGER NOT NULL,"
    " protocol_version TEXT NOT NULL,"
    " created_ms INTEGER NOT NULL,"
    " seen_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX sessions_by_seen ON sessions (seen_ms);",
    "ALTER TABLE sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE sessions ADD COLUMN home TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE sessions ADD COLUMN state TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX sessions_by_home ON sessions (home) WHERE home <> '';"};

class SqliteStore final : public SessionStore {
 public:
  explicit SqliteStore(std::string path) : database_(std::move(path), "session store") {}
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;
  ~SqliteStore() override = default;

  Status open();

  Result<std::optional<mcp::SessionRecord>> find(const std::string& id, std::int64_t expired_before_ms) override;
  Result<bool> create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) override;
  Result<bool> update(const mcp::SessionRecord& record) override;
  Status touch(const std::string& id, std::int64_t seen_ms) override;
  Result<std::optional<std::string>> claim(const std::string& id, std::string_view expected,
                                           std::string_view mine) override;
  Status release(std::string_view home) override;
  Status set_state(const std::string& id, std::string_view state) override;
  Result<bool> erase(const std::string& id) override;
  Result<std::int64_t> expire(std::int64_t expired_before_ms) override;
  Status check() override;

 private:
  bool check_failed_ = false;
  std::mutex mutex_;
  SqliteDatabase database_;  // before the statements: they go away first
  SqliteStatement find_;
  SqliteStatement create_;
  SqliteStatement update_;
  SqliteStatement touch_;
  SqliteStatement claim_;
  SqliteStatement home_;
  SqliteStatement release_;
  SqliteStatement set_state_;
  SqliteStatement erase_;
  SqliteStatement expire_;
};

Status SqliteStore::open() {
  RS_TRY_STATUS(database_.open(kSchema));
  const std::pair<SqliteStatement&, std::string_view> statements[] = {
      {find_,
       "SELECT server_id, owner, fingerprint, auth_expires_ms, protocol_version, created_ms, seen_ms, client, home,"
       " state FROM sessions WHERE id = ?1 AND seen_ms >= ?2"},
      {create_,
       "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, '', '') ON CONFLICT (id) DO UPDATE SET"
       " server_id = ?2, owner = ?3, fingerprint = ?4, auth_expires_ms = ?5, protocol_version = ?6, created_ms = ?7,"
       " seen_ms = ?8, client = ?9, home = '', state = '' WHERE sessions.seen_ms < ?10"},
      {update_,
       "UPDATE sessions SET server_id = ?2, owner = ?3, fingerprint = ?4, auth_expires_ms = ?5, protocol_version = ?6,"
       " created_ms = ?7, seen_ms = max(seen_ms, ?8), client = ?9 WHERE id = ?1"},
      {touch_, "UPDATE sessions SET seen_ms = max(seen_ms, ?2) WHERE id = ?1"},
      {claim_, "UPDATE sessions SET home = ?3 WHERE id = ?1 AND home = ?2"},
      {home_, "SELECT home FROM sessions WHERE id = ?1"},
      {release_, "UPDATE sessions SET home = '' WHERE home = ?1 AND home <> ''"},
      {set_state_, "UPDATE sessions SET state = ?2 WHERE id = ?1"},
      {erase_, "DELETE FROM sessions WHERE id = ?1"},
      {expire_, "DELETE FROM sessions WHERE seen_ms < ?1"},
  };
  return database_.prepare(statements);
}

/// A read of the table, and a write of one page that changes nothing.
Status SqliteStore::check() {
  const std::lock_guard lock(mutex_);
  const bool there = database_.file_stands();
  int code = SQLITE_OK;
  if (there) {
    const SqliteInUse use(find_);
    code = find_.bind({}).bind(0).step();
    if (code == SQLITE_DONE) code = database_.run("PRAGMA user_version = 2;");
  }
  static_assert(kSchema.size() == 2, "the version that is written above");
  // It is asked again and again, and the log need not hear it each time.
  const bool told = std::exchange(check_failed_, !there || code != SQLITE_OK);
  if (!check_failed_) return {};
  if (!there && !told) {
    log::warn("session store failed path={} reason=\"its file was taken away\"; restart ringside", database_.path());
  }
  if (there && !told) return database_.failed(code);
  return Error{Code::kUnavailable, 0, "the session store is not available"};
}

Result<std::optional<mcp::SessionRecord>> SqliteStore::find(const std::string& id, std::int64_t expired_before_ms) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(find_);
  const int code = find_.bind(id).bind(expired_before_ms).step();
  if (code == SQLITE_DONE) return std::optional<mcp::SessionRecord>();
  if (code != SQLITE_ROW) return database_.failed(code);
  mcp::SessionRecord record;
  record.id = id;
  record.server_id = find_.text(0);
  record.owner = find_.text(1);
  record.fingerprint = find_.text(2);
  record.auth_expires_ms = find_.number(3);
  record.protocol_version = find_.text(4);
  record.created_ms = find_.number(5);
  record.seen_ms = find_.number(6);
  record.client = find_.text(7);
  record.home = find_.text(8);
  record.state = find_.text(9);
  return std::optional(std::move(record));
}

void bind_record(SqliteStatement& statement, const mcp::SessionRecord& record) {
  statement.bind(record.id)
      .bind(record.server_id)
      .bind(record.owner)
      .bind(record.fingerprint)
      .bind(record.auth_expires_ms)
      .bind(record.protocol_version)
      .bind(record.created_ms)
      .bind(record.seen_ms)
      .bind(record.client);
}

Result<bool> SqliteStore::create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(create_);
  bind_record(create_, record);
  create_.bind(expired_before_ms);
  return RS_TRY(database_.change(create_)) == 1;
}

Result<bool> SqliteStore::update(const mcp::SessionRecord& record) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(update_);
  bind_record(update_, record);
  return RS_TRY(database_.change(update_)) == 1;
}

Status SqliteStore::touch(const std::string& id, std::int64_t seen_ms) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(touch_);
  touch_.bind(id).bind(seen_ms);
  RS_TRY(database_.change(touch_));
  return {};
}

Result<std::optional<std::string>> SqliteStore::claim(const std::string& id, std::string_view expected,
                                                      std::string_view mine) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(claim_);
  claim_.bind(id).bind(expected).bind(mine);
  if (RS_TRY(database_.change(claim_)) == 1) return std::optional(std::string(mine));
  const SqliteInUse use_too(home_);
  const int code = home_.bind(id).step();
  if (code == SQLITE_DONE) return std::optional<std::string>();
  if (code != SQLITE_ROW) return database_.failed(code);
  return std::optional(home_.text(0));
}

Status SqliteStore::release(std::string_view home) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(release_);
  release_.bind(home);
  RS_TRY(database_.change(release_));
  return {};
}

Status SqliteStore::set_state(const std::string& id, std::string_view state) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(set_state_);
  set_state_.bind(id).bind(state);
  RS_TRY(database_.change(set_state_));
  return {};
}

Result<bool> SqliteStore::erase(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(erase_);
  erase_.bind(id);
  return RS_TRY(database_.change(erase_)) == 1;
}

Result<std::int64_t> SqliteStore::expire(std::int64_t expired_before_ms) {
  const std::lock_guard lock(mutex_);
  const SqliteInUse use(expire_);
  expire_.bind(expired_before_ms);
  return database_.change(expire_);
}

}  // namespace

Result<std::unique_ptr<SessionStore>> open_sqlite_store(const std::string& path) {
  auto store = std::make_unique<SqliteStore>(path);
  RS_TRY_STATUS(store->open());
  return std::unique_ptr<SessionStore>(std::move(store));
}

Result<Stores> open_sqlite_stores(const std::string& folder, EventLimits limits) {
  Stores stores;
  stores.sessions = RS_TRY(open_sqlite_store(folder + "/sessions.db"));
  // A file of its own: a batch of events never holds up a session.
  stores.events = RS_TRY(open_sqlite_events(folder + "/events.db", limits));
  return stores;
}

}  // namespace ringside::worker
