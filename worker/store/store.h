#pragma once
// Where sessions are kept, so that any worker can serve any session.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

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
  /// Inserts; false, and nothing changed, when the id is taken by a record seen at `expired_before_ms` or later.
  virtual Result<bool> create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) = 0;
  /// Replaces; false when there is none: a session that was ended meanwhile does not come back.
  virtual Result<bool> update(const mcp::SessionRecord& record) = 0;
  /// Slides `seen_ms` forward, never back.
  virtual Status touch(const std::string& id, std::int64_t seen_ms) = 0;
  /// True when there was one.
  virtual Result<bool> erase(const std::string& id) = 0;
  /// Removes what was seen last before then; how many.
  virtual Result<std::int64_t> expire(std::int64_t expired_before_ms) = 0;
  /// Whether all of that can be done right now: reads and writes for the sake of it.
  virtual Status check() { return {}; }
};

/// A SQLite file (WAL, mode 0600) shared by all workers of a runtime folder. kSystem when it cannot be opened or is not
/// ours; the log says what to do.
Result<std::unique_ptr<SessionStore>> open_sqlite_store(const std::string& path);

}  // namespace ringside::worker
