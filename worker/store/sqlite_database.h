#pragma once
// What every store of ours in a SQLite file needs: the file itself (WAL, mode 0600), its schema's version, statements,
// and what its trouble is called.

#include <sqlite3.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace ringside::worker {

/// One prepared statement. Its owner's mutex is held from bind to reset.
class SqliteStatement {
 public:
  SqliteStatement() = default;
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;
  ~SqliteStatement() { sqlite3_finalize(statement_); }

  int prepare(sqlite3* database, std::string_view sql);
  /// The caller's text outlives the step.
  SqliteStatement& bind(std::string_view text);
  SqliteStatement& bind(std::int64_t number);
  int step() { return sqlite3_step(statement_); }
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  void reset();

 private:
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// Gives a statement back for its next use, which also ends its read transaction.
class SqliteInUse {
 public:
  explicit SqliteInUse(SqliteStatement& statement) : statement_(statement) {}
  SqliteInUse(const SqliteInUse&) = delete;
  SqliteInUse& operator=(const SqliteInUse&) = delete;
  ~SqliteInUse() { statement_.reset(); }

 private:
  SqliteStatement& statement_;
};

/// A file and the connection to it. Whoever owns it keeps threads apart.
class SqliteDatabase {
 public:
  /// `what` names it in the log: "session store".
  SqliteDatabase(std::string path, std::string_view what) : path_(std::move(path)), what_(what) {}
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  /// `steps[n]` makes version n + 1 of version n. kSystem when it cannot be opened or is not ours; the log says what to
  /// do.
  Status open(std::span<const char* const> steps);
  Status prepare(std::span<const std::pair<SqliteStatement&, std::string_view>> statements);
  int run(const char* sql) { return sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr); }
  /// Runs a statement that returns no row; how many rows it changed.
  Result<std::int64_t> change(SqliteStatement& statement);
  Error failed(int code);
  /// False: the file at our path is not the one we opened.
  [[nodiscard]] bool file_stands() const { return file_there() == file_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };

  Status prepare_file();
  int switch_to_wal();
  Status migrate(std::span<const char* const> steps);
  int schema_version(int& version);
  Error unusable(std::string_view reason);
  /// The inode of the file at our path; 0: there is none.
  [[nodiscard]] ino_t file_there() const;

  const std::string path_;
  const std::string_view what_;
  ino_t file_ = 0;  // that we opened
  std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace ringside::worker
