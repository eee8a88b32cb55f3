#include "worker/store/sqlite_database.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "base/unique_fd.h"

namespace ringside::worker {
namespace {

constexpr int kBusyTimeoutMs = 2000;

}  // namespace

int SqliteStatement::prepare(sqlite3* database, std::string_view sql) {
  return sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement_,
                            nullptr);
}

SqliteStatement& SqliteStatement::bind(std::string_view text) {
  // A null pointer would bind NULL, which the columns refuse.
  sqlite3_bind_text64(statement_, ++bound_, text.data() != nullptr ? text.data() : "", text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::bind(std::int64_t number) {
  sqlite3_bind_int64(statement_, ++bound_, number);
  return *this;
}

std::string SqliteStatement::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return bytes == nullptr ? std::string() : std::string(bytes, size);
}

void SqliteStatement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  bound_ = 0;
}

Error SqliteDatabase::unusable(std::string_view reason) {
  log::error(
      "{} unusable path={} reason=\"{}\"; stop ringside, move the file (and its -wal, -shm) away, start again: "
      "sessions "
      "are lost and clients initialize anew",
      what_, path_, reason);
  return Error{Code::kSystem, 0, "the session store cannot be used"};
}

Error SqliteDatabase::failed(int code) {
  log::warn("{} failed path={} reason=\"{}\" code={}", what_, path_, sqlite3_errmsg(database_.get()), code);
  const int primary = code & 0xFF;
  const bool passing = primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_FULL;
  return Error{passing ? Code::kUnavailable : Code::kSystem, 0, "the session store is not available"};
}

Status SqliteDatabase::prepare_file() {
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
  log::error("{} cannot be opened path={} reason=\"{}\"; make its folder writable for this user, or remove the file",
             what_, path_, std::strerror(error));
  return Error{Code::kSystem, error, "the session store cannot be used"};
}

int SqliteDatabase::schema_version(int& version) {
  SqliteStatement statement;
  int code = statement.prepare(database_.get(), "PRAGMA user_version");
  if (code != SQLITE_OK) return code;
  code = statement.step();
  if (code != SQLITE_ROW) return code;
  version = static_cast<int>(statement.number(0));
  return SQLITE_OK;
}

Status SqliteDatabase::migrate(std::span<const char* const> steps) {
  // IMMEDIATE: of several workers that start together, one makes the tables and the others find them.
  if (run("BEGIN IMMEDIATE") != SQLITE_OK) return unusable(sqlite3_errmsg(database_.get()));
  int version = 0;
  int code = schema_version(version);
  if (code == SQLITE_OK && (version < 0 || static_cast<std::size_t>(version) > steps.size())) {
    run("ROLLBACK");
    return unusable("made by another version of ringside");
  }
  for (; code == SQLITE_OK && static_cast<std::size_t>(version) < steps.size(); ++version) {
    code = run(steps[static_cast<std::size_t>(version)]);
  }
  if (code == SQLITE_OK) code = run(("PRAGMA user_version = " + std::to_string(version)).c_str());
  if (code == SQLITE_OK) code = run("COMMIT");
  return code == SQLITE_OK ? Status() : unusable(sqlite3_errmsg(database_.get()));
}

Status SqliteDatabase::prepare(std::span<const std::pair<SqliteStatement&, std::string_view>> statements) {
  for (const auto& [statement, sql] : statements) {
    if (statement.prepare(database_.get(), sql) != SQLITE_OK) return unusable(sqlite3_errmsg(database_.get()));
  }
  return {};
}

/// Two workers that switch a new file at once would wait for each other's lock, so SQLite refuses one of them at once,
/// without its busy timeout: the wait is ours.
int SqliteDatabase::switch_to_wal() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kBusyTimeoutMs);
  while (true) {
    const int code = run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    if ((code & 0xff) != SQLITE_BUSY || std::chrono::steady_clock::now() > end) return code;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

ino_t SqliteDatabase::file_there() const {
  struct stat found = {};
  return ::lstat(path_.c_str(), &found) == 0 ? found.st_ino : 0;
}

Status SqliteDatabase::open(std::span<const char* const> steps) {
  RS_TRY_STATUS(prepare_file());
  sqlite3* database = nullptr;
  // NOMUTEX: our owner keeps threads apart.
  const int code = sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(database);
  if (code != SQLITE_OK) return unusable(sqlite3_errstr(code));
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, kBusyTimeoutMs);
  if (switch_to_wal() != SQLITE_OK) return unusable(sqlite3_errmsg(database));
  RS_TRY_STATUS(migrate(steps));
  file_ = file_there();
  return {};
}

Result<std::int64_t> SqliteDatabase::change(SqliteStatement& statement) {
  const int code = statement.step();
  if (code != SQLITE_DONE) return failed(code);
  return static_cast<std::int64_t>(sqlite3_changes64(database_.get()));
}

}  // namespace ringside::worker
