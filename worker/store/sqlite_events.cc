#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <mutex>
#include <utility>

#include "worker/store/sqlite_database.h"
#include "worker/store/store.h"

namespace ringside::worker {
namespace {

constexpr std::array<const char*, 1> kSchema = {
    "CREATE TABLE streams ("
    " token TEXT PRIMARY KEY NOT NULL,"
    " session TEXT NOT NULL,"
    " request_id TEXT NOT NULL,"
    " method TEXT NOT NULL,"
    " last INTEGER NOT NULL,"
    " over INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX streams_by_session ON streams (session);"
    "CREATE INDEX streams_by_time ON streams (at_ms);"
    "CREATE TABLE events ("
    " token TEXT NOT NULL,"
    " number INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL,"
    " data TEXT NOT NULL,"
    " PRIMARY KEY (token, number)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX events_by_time ON events (at_ms);"};

class SqliteEvents final : public EventLog {
 public:
  SqliteEvents(std::string path, EventLimits limits) : limits_(limits), database_(std::move(path), "event log") {}
  SqliteEvents(const SqliteEvents&) = delete;
  SqliteEvents& operator=(const SqliteEvents&) = delete;
  ~SqliteEvents() override = default;

  Status open();
  Status append(const std::vector<EventWrite>& batch) override;
  Result<std::optional<Replay>> replay(const std::string& session, const std::string& token,
                                       std::uint64_t after) override;
  Status erase(const std::string& session) override;
  Result<std::int64_t> expire(std::int64_t before_ms) override;

 private:
  Status write(const EventWrite& each);
  Status transaction(const std::function<Status()>& work);

  const EventLimits limits_;
  std::mutex mutex_;
  SqliteDatabase database_;  // before the statements: they go away first
  SqliteStatement stream_;
  SqliteStatement event_;
  SqliteStatement trim_;
  SqliteStatement head_;
  SqliteStatement events_;
  SqliteStatement erase_events_;
  SqliteStatement erase_streams_;
  SqliteStatement expire_events_;
  SqliteStatement expire_streams_;
};

Status SqliteEvents::open() {
  RS_TRY_STATUS(database_.open(kSchema));
  const std::pair<SqliteStatement&, std::string_view> statements[] = {
      {stream_,
       "INSERT INTO streams VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (token) DO UPDATE SET"
       " last = max(last, ?5), over = max(over, ?6), at_ms = ?7 WHERE session = ?2"},
      {event_, "INSERT OR REPLACE INTO events VALUES (?1, ?2, ?3, ?4)"},
      {trim_, "DELETE FROM events WHERE token = ?1 AND number <= ?2"},
      {head_, "SELECT request_id, method, last, over FROM streams WHERE token = ?1 AND session = ?2"},
      {events_, "SELECT number, data FROM events WHERE token = ?1 AND number > ?2 ORDER BY number"},
      {erase_events_, "DELETE FROM events WHERE token IN (SELECT token FROM streams WHERE session = ?1)"},
      {erase_streams_, "DELETE FROM streams WHERE session = ?1"},
      {expire_events_, "DELETE FROM events WHERE at_ms < ?1"},
      {expire_streams_, "DELETE FROM streams WHERE at_ms < ?1"},
  };
  return database_.prepare(statements);
}

Status SqliteEvents::transaction(const std::function<Status()>& work) {
  if (const int code = database_.run("BEGIN IMMEDIATE"); code != SQLITE_OK) return database_.failed(code);
  Status done = work();
  const int code = done.ok() ? database_.run("COMMIT") : SQLITE_OK;
  if (done.ok() && code != SQLITE_OK) done = database_.failed(code);
  if (!done.ok()) database_.run("ROLLBACK");
  return done;
}

Status SqliteEvents::write(const EventWrite& each) {
  const auto number = static_cast<std::int64_t>(each.event.number);
  const SqliteInUse use(stream_);
  stream_.bind(each.head.token)
      .bind(each.head.session)
      .bind(each.head.request_id)
      .bind(each.head.method)
      .bind(number)
      .bind(std::int64_t{each.head.over ? 1 : 0})
      .bind(each.at_ms);
  RS_TRY(database_.change(stream_));
  const SqliteInUse use_too(event_);
  event_.bind(each.head.token).bind(number).bind(each.at_ms).bind(each.event.data);
  RS_TRY(database_.change(event_));
  const auto kept = static_cast<std::int64_t>(limits_.per_stream);
  if (number < kept) return {};
  const SqliteInUse use_last(trim_);
  trim_.bind(each.head.token).bind(number - kept);
  RS_TRY(database_.change(trim_));
  return {};
}

Status SqliteEvents::append(const std::vector<EventWrite>& batch) {
  const std::lock_guard lock(mutex_);
  return transaction([&]() -> Status {
    for (const EventWrite& each : batch) RS_TRY_STATUS(write(each));
    return {};
  });
}

Result<std::optional<Replay>> SqliteEvents::replay(const std::string& session, const std::string& token,
                                                   std::uint64_t after) {
  const std::lock_guard lock(mutex_);
  Replay replay;
  {
    const SqliteInUse use(head_);
    const int code = head_.bind(token).bind(session).step();
    if (code == SQLITE_DONE) return std::optional<Replay>();
    if (code != SQLITE_ROW) return database_.failed(code);
    replay.head = {token, session, head_.text(0), head_.text(1), head_.number(3) != 0};
    replay.last = static_cast<std::uint64_t>(head_.number(2));
  }
  const SqliteInUse use(events_);
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  events_.bind(token).bind(static_cast<std::int64_t>(std::min(after, kMost)));
  int code = events_.step();
  std::uint64_t wanted = after + 1;
  for (; code == SQLITE_ROW; code = events_.step()) {
    const auto number = static_cast<std::uint64_t>(events_.number(0));
    replay.evicted = replay.evicted || number != wanted;
    wanted = number + 1;
    replay.events.push_back({number, events_.text(1)});
  }
  if (code != SQLITE_DONE) return database_.failed(code);
  // What follows is gone altogether, as after the time to keep it.
  replay.evicted = replay.evicted || (after < replay.last && wanted != replay.last + 1);
  return std::optional(std::move(replay));
}

Status SqliteEvents::erase(const std::string& session) {
  const std::lock_guard lock(mutex_);
  return transaction([&]() -> Status {
    for (SqliteStatement* each : {&erase_events_, &erase_streams_}) {
      const SqliteInUse use(*each);
      each->bind(session);
      RS_TRY(database_.change(*each));
    }
    return {};
  });
}

Result<std::int64_t> SqliteEvents::expire(std::int64_t before_ms) {
  const std::lock_guard lock(mutex_);
  std::int64_t gone = 0;
  RS_TRY_STATUS(transaction([&]() -> Status {
    for (SqliteStatement* each : {&expire_events_, &expire_streams_}) {
      const SqliteInUse use(*each);
      each->bind(before_ms);
      gone += RS_TRY(database_.change(*each));
    }
    return {};
  }));
  return gone;
}

}  // namespace

Result<std::unique_ptr<EventLog>> open_sqlite_events(const std::string& path, EventLimits limits) {
  auto events = std::make_unique<SqliteEvents>(path, limits);
  RS_TRY_STATUS(events->open());
  return std::unique_ptr<EventLog>(std::move(events));
}

}  // namespace ringside::worker
