#pragma once
// Where sessions are kept, so that any worker can serve any session, and what their streams have said, so that a client
// can go on where it stopped.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mcp/session.h"

namespace ringside::worker {

/// Thread-safe. Every call may touch a disk: the runtime asks its cache first. kSystem and kUnavailable (busy, full) as
/// the store's own trouble; what an operator needs to know is in the log by then.
class SessionStore {
 public:
  virtual ~SessionStore() = default;
  /// The record, or nothing when there is none or it was seen last before `expired_before_ms`.
  virtual Result<std::optional<mcp::SessionRecord>> find(const std::string& id, std::int64_t expired_before_ms) = 0;
  /// Inserts, without a home or state; false, and nothing changed, when the id is taken by a record seen at
  /// `expired_before_ms` or later.
  virtual Result<bool> create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) = 0;
  /// Replaces all but home and state; false when there is none: a session that was ended meanwhile does not come back.
  virtual Result<bool> update(const mcp::SessionRecord& record) = 0;
  /// Slides `seen_ms` forward, never back.
  virtual Status touch(const std::string& id, std::int64_t seen_ms) = 0;
  /// Sets `home` if it still is `expected`. The home that stands afterwards; nothing: there is no such session.
  virtual Result<std::optional<std::string>> claim(const std::string& id, std::string_view expected,
                                                   std::string_view mine) = 0;
  /// Whatever lives there has no home any more.
  virtual Status release(std::string_view home) = 0;
  virtual Status set_state(const std::string& id, std::string_view state) = 0;
  /// True when there was one.
  virtual Result<bool> erase(const std::string& id) = 0;
  /// Removes what was seen last before then; how many.
  virtual Result<std::int64_t> expire(std::int64_t expired_before_ms) = 0;
  /// Whether all of that can be done right now: reads and writes for the sake of it.
  virtual Status check() { return {}; }
};

/// One event of a stream.
struct LoggedEvent {
  std::uint64_t number = 0;
  std::string data;  ///< raw JSON; empty: the event that only opens the stream
};

struct StreamHead {
  std::string token;  ///< names the stream; unique
  std::string session;
  std::string request_id;  ///< raw, of the POST that it answers; empty: a GET's stream
  std::string method;
  bool over = false;  ///< its last event has been said
};

struct EventWrite {
  StreamHead head;
  LoggedEvent event;
  std::int64_t at_ms = 0;
};

struct Replay {
  StreamHead head;
  std::vector<LoggedEvent> events;
  std::uint64_t last = 0;  ///< the highest number ever logged
  bool evicted = false;    ///< some of what came after is not kept any more
};

/// Thread-safe; every call may touch a disk.
class EventLog {
 public:
  virtual ~EventLog() = default;
  /// All of them or none. Of each stream the newest are kept, so many.
  virtual Status append(const std::vector<EventWrite>& batch) = 0;
  /// What came after that number; nothing when this session has no such stream.
  virtual Result<std::optional<Replay>> replay(const std::string& session, const std::string& token,
                                               std::uint64_t after) = 0;
  virtual Status erase(const std::string& session) = 0;
  /// Removes what was said before then; how many rows.
  virtual Result<std::int64_t> expire(std::int64_t before_ms) = 0;
};

struct EventLimits {
  std::size_t per_stream = 100;
  std::int64_t ttl_ms = 3'600'000;
};

struct Stores {
  std::unique_ptr<SessionStore> sessions;
  std::unique_ptr<EventLog> events;
};

/// A SQLite file (WAL, mode 0600) shared by all workers of a runtime folder. kSystem when it cannot be opened or is not
/// ours; the log says what to do.
Result<std::unique_ptr<SessionStore>> open_sqlite_store(const std::string& path);
Result<std::unique_ptr<EventLog>> open_sqlite_events(const std::string& path, EventLimits limits);
/// sessions.db and events.db in that folder.
Result<Stores> open_sqlite_stores(const std::string& folder, EventLimits limits);

}  // namespace ringside::worker
