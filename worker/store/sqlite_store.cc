#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"
#include "worker/store/store.h"

namespace ringside::worker {
namespace {

constexpr int kSchemaVersion = 1;
constexpr int kBusyTimeoutMs = 2000;

constexpr const char* kSchema =
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
    "CREATE INDEX sessions_by_seen ON sessions (seen_ms);"
    "PRAGMA user_version = 1;";

/// One prepared statement. Its owner's mutex is held from bind to reset.
class Statement {
 public:
  Statement() = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  int prepare(sqlite3* database, std::string_view sql) {
    return sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                              &statement_, nullptr);
  }
  Statement& bind(std::string_view text) {
    // A null pointer would bind NULL, which the columns refuse. The caller's text outlives the step.
    sqlite3_bind_text64(statement_, ++bound_, text.data() != nullptr ? text.data() : "", text.size(), SQLITE_STATIC,
                        SQLITE_UTF8);
    return *this;
  }
  Statement& bind(std::int64_t number) {
    sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  int step() { return sqlite3_step(statement_); }
  [[nodiscard]] std::string text(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return bytes == nullptr ? std::string() : std::string(bytes, size);
  }
  [[nodiscard]] std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  void reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    bound_ = 0;
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// Gives a statement back for its next use, which also ends its read transaction.
class InUse {
 public:
  explicit InUse(Statement& statement) : statement_(statement) {}
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  ~InUse() { statement_.reset(); }

 private:
  Statement& statement_;
};

class SqliteStore final : public SessionStore {
 public:
  explicit SqliteStore(std::string path) : path_(std::move(path)) {}
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;
  ~SqliteStore() override = default;

  Status open();
  int switch_to_wal();

  Result<std::optional<mcp::SessionRecord>> find(const std::string& id, std::int64_t expired_before_ms) override;
  Result<bool> create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) override;
  Result<bool> update(const mcp::SessionRecord& record) override;
  Status touch(const std::string& id, std::int64_t seen_ms) override;
  Result<bool> erase(const std::string& id) override;
  Result<std::int64_t> expire(std::int64_t expired_before_ms) override;
  Status check() override;

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };

  Status prepare_file();
  Status migrate();
  Status prepare_statements();
  int run(const char* sql) { return sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr); }
  int schema_version(int& version);
  /// Runs a statement that returns no row; how many rows it changed.
  Result<std::int64_t> change(Statement& statement);
  Error unusable(std::string_view what);
  Error failed(int code);
  /// The inode of the file at our path; 0: there is none.
  [[nodiscard]] ino_t file_there() const;

  const std::string path_;
  ino_t file_ = 0;  // that we opened
  bool check_failed_ = false;
  std::mutex mutex_;
  std::unique_ptr<sqlite3, Close> database_;  // before the statements: they go away first
  Statement find_;
  Statement create_;
  Statement update_;
  Statement touch_;
  Statement erase_;
  Statement expire_;
};

Error SqliteStore::unusable(std::string_view what) {
  log::error(
      "session store unusable path={} reason=\"{}\"; stop ringside, move the file (and its -wal, -shm) away, start "
      "again: "
      "sessions are lost and clients initialize anew",
      path_, what);
  return Error{Code::kSystem, 0, "the session store cannot be used"};
}

Error SqliteStore::failed(int code) {
  log::warn("session store failed path={} reason=\"{}\" code={}", path_, sqlite3_errmsg(database_.get()), code);
  const int primary = code & 0xFF;
  const bool passing = primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_FULL;
  return Error{passing ? Code::kUnavailable : Code::kSystem, 0, "the session store is not available"};
}

Status SqliteStore::prepare_file() {
  // SQLite would make the file with the umask's mode; -wal and -shm copy the mode that they find. An existing file is
  // not opened here: closing any descriptor of it would drop the locks that another connection of this process holds.
  const UniqueFd made(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (made.valid()) return {};
  int error = errno;
  struct stat found = {};
  if (error == EEXIST && ::lstat(path_.c_str(), &found) == 0 && S_ISREG(found.st_mode)) {
    if ((found.st_mode & (S_IRWXG | S_IRWXO)) == 0 || ::chmod(path_.c_str(), S_IRUSR | S_IWUSR) == 0) return {};
    error = errno;
  }
  log::error(
      "session store cannot be opened path={} reason=\"{}\"; make its folder writable for this user, or remove the "
      "file",
      path_, std::strerror(error));
  return Error{Code::kSystem, error, "the session store cannot be used"};
}

int SqliteStore::schema_version(int& version) {
  Statement statement;
  int code = statement.prepare(database_.get(), "PRAGMA user_version");
  if (code != SQLITE_OK) return code;
  code = statement.step();
  if (code != SQLITE_ROW) return code;
  version = static_cast<int>(statement.number(0));
  return SQLITE_OK;
}

Status SqliteStore::migrate() {
  // IMMEDIATE: of several workers that start together, one makes the table and the others find it.
  if (run("BEGIN IMMEDIATE") != SQLITE_OK) return unusable(sqlite3_errmsg(database_.get()));
  int version = 0;
  int code = schema_version(version);
  if (code == SQLITE_OK && version == 0) {
    code = run(kSchema);
    version = kSchemaVersion;
  }
  if (code == SQLITE_OK) code = run("COMMIT");
  if (code != SQLITE_OK) return unusable(sqlite3_errmsg(database_.get()));
  if (version != kSchemaVersion) return unusable("made by another version of ringside");
  return {};
}

Status SqliteStore::prepare_statements() {
  const std::pair<Statement&, std::string_view> statements[] = {
      {find_,
       "SELECT server_id, owner, fingerprint, auth_expires_ms, protocol_version, created_ms, seen_ms FROM sessions"
       " WHERE id = ?1 AND seen_ms >= ?2"},
      {create_,
       "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET"
       " server_id = ?2, owner = ?3, fingerprint = ?4, auth_expires_ms = ?5, protocol_version = ?6, created_ms = ?7,"
       " seen_ms = ?8 WHERE sessions.seen_ms < ?9"},
      {update_,
       "UPDATE sessions SET server_id = ?2, owner = ?3, fingerprint = ?4, auth_expires_ms = ?5, protocol_version = ?6,"
       " created_ms = ?7, seen_ms = max(seen_ms, ?8) WHERE id = ?1"},
      {touch_, "UPDATE sessions SET seen_ms = max(seen_ms, ?2) WHERE id = ?1"},
      {erase_, "DELETE FROM sessions WHERE id = ?1"},
      {expire_, "DELETE FROM sessions WHERE seen_ms < ?1"},
  };
  for (const auto& [statement, sql] : statements) {
    if (statement.prepare(database_.get(), sql) != SQLITE_OK) return unusable(sqlite3_errmsg(database_.get()));
  }
  return {};
}

/// Two workers that switch a new file at once would wait for each other's lock, so SQLite refuses one of them at once,
/// without its busy timeout: the wait is ours.
int SqliteStore::switch_to_wal() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyTimeoutMs);
  while (true) {
    const int code = run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    if ((code & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() > end) return code;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

ino_t SqliteStore::file_there() const {
  struct stat found = {};
  return ::lstat(path_.c_str(), &found) == 0 ? found.st_ino : 0;
}

Status SqliteStore::open() {
  RS_TRY_STATUS(prepare_file());
  sqlite3* database = nullptr;
  // NOMUTEX: mutex_ already keeps threads apart.
  const int code = sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(database);
  if (code != SQLITE_OK) return unusable(sqlite3_errstr(code));
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, kBusyTimeoutMs);
  if (switch_to_wal() != SQLITE_OK) return unusable(sqlite3_errmsg(database));
  RS_TRY_STATUS(migrate());
  file_ = file_there();
  return prepare_statements();
}

/// A read of the table, and a write of one page that changes nothing.
Status SqliteStore::check() {
  const std::lock_guard lock(mutex_);
  const bool there = file_there() == file_;
  int code = SQLITE_OK;
  if (there) {
    const InUse use(find_);
    code = find_.bind({}).bind(0).step();
    if (code == SQLITE_DONE) code = run("PRAGMA user_version = 1;");
  }
  // It is asked again and again, and the log need not hear it each time.
  const bool told = std::exchange(check_failed_, !there || code != SQLITE_OK);
  if (!check_failed_) return {};
  if (!there && !told) {
    log::warn("session store failed path={} reason=\"its file was taken away\"; restart ringside", path_);
  }
  if (there && !told) return failed(code);
  return Error{Code::kUnavailable, 0, "the session store is not available"};
}

Result<std::int64_t> SqliteStore::change(Statement& statement) {
  const int code = statement.step();
  if (code != SQLITE_DONE) return failed(code);
  return static_cast<std::int64_t>(sqlite3_changes64(database_.get()));
}

Result<std::optional<mcp::SessionRecord>> SqliteStore::find(const std::string& id, std::int64_t expired_before_ms) {
  const std::lock_guard lock(mutex_);
  const InUse use(find_);
  const int code = find_.bind(id).bind(expired_before_ms).step();
  if (code == SQLITE_DONE) return std::optional<mcp::SessionRecord>();
  if (code != SQLITE_ROW) return failed(code);
  mcp::SessionRecord record;
  record.id = id;
  record.server_id = find_.text(0);
  record.owner = find_.text(1);
  record.fingerprint = find_.text(2);
  record.auth_expires_ms = find_.number(3);
  record.protocol_version = find_.text(4);
  record.created_ms = find_.number(5);
  record.seen_ms = find_.number(6);
  return std::optional(std::move(record));
}

void bind_record(Statement& statement, const mcp::SessionRecord& record) {
  statement.bind(record.id)
      .bind(record.server_id)
      .bind(record.owner)
      .bind(record.fingerprint)
      .bind(record.auth_expires_ms)
      .bind(record.protocol_version)
      .bind(record.created_ms)
      .bind(record.seen_ms);
}

Result<bool> SqliteStore::create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) {
  const std::lock_guard lock(mutex_);
  const InUse use(create_);
  bind_record(create_, record);
  create_.bind(expired_before_ms);
  return RS_TRY(change(create_)) == 1;
}

Result<bool> SqliteStore::update(const mcp::SessionRecord& record) {
  const std::lock_guard lock(mutex_);
  const InUse use(update_);
  bind_record(update_, record);
  return RS_TRY(change(update_)) == 1;
}

Status SqliteStore::touch(const std::string& id, std::int64_t seen_ms) {
  const std::lock_guard lock(mutex_);
  const InUse use(touch_);
  touch_.bind(id).bind(seen_ms);
  RS_TRY(change(touch_));
  return {};
}

Result<bool> SqliteStore::erase(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const InUse use(erase_);
  erase_.bind(id);
  return RS_TRY(change(erase_)) == 1;
}

Result<std::int64_t> SqliteStore::expire(std::int64_t expired_before_ms) {
  const std::lock_guard lock(mutex_);
  const InUse use(expire_);
  expire_.bind(expired_before_ms);
  return change(expire_);
}

}  // namespace

Result<std::unique_ptr<SessionStore>> open_sqlite_store(const std::string& path) {
  auto store = std::make_unique<SqliteStore>(path);
  RS_TRY_STATUS(store->open());
  return std::unique_ptr<SessionStore>(std::move(store));
}

}  // namespace ringside::worker
