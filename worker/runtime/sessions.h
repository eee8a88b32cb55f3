#pragma once
// Sessions as this worker knows them: a bounded cache in front of the store. A cached record is good while the epoch
// that it was read under stands; a refusal is only ever given by what the store says now. Thread-safe.

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mcp/session.h"
#include "worker/store/store.h"

namespace ringside::worker {

enum class SessionOutcome {
  kAdmitted,
  kUnknown,      ///< 404
  kDenied,       ///< 403
  kExpired,      ///< 401: the auth context it would have reused is past its expiry
  kUnavailable,  ///< the store has trouble
};

struct SessionStats {
  std::uint64_t opened = 0;
  std::uint64_t ended = 0;  ///< by their clients
  std::uint64_t expired = 0;
  std::size_t cached = 0;  ///< in this worker
};

class Sessions {
 public:
  /// `epoch` outlives it.
  Sessions(std::int64_t ttl_ms, std::unique_ptr<SessionStore> store, const std::atomic<std::uint64_t>& epoch);

  /// A session as it was known at one moment; immutable.
  using Record = std::shared_ptr<const mcp::SessionRecord>;

  /// Finds the session, judges the caller by mcp::admit, and slides the session's time. A context that proves the owner
  /// anew replaces the proof on record. No store access while the cache has the answer.
  /// `record` is set when it admits.
  [[nodiscard]] SessionOutcome enter(const std::string& id, std::string_view server_id, const mcp::Caller& caller,
                                     std::int64_t now_ms, Record& record);
  /// The same for a request that another worker has admitted already.
  [[nodiscard]] SessionOutcome enter_admitted(const std::string& id, std::int64_t now_ms, Record& record);
  /// The same for initialize, which also makes the session when there is none (never kUnknown or kExpired: kDenied).
  [[nodiscard]] SessionOutcome open(const std::string& id, std::string_view server_id, const mcp::Caller& caller,
                                    std::string_view protocol_version, std::string_view client, std::int64_t now_ms);
  /// Makes `mine` the session's home if it still lives at `expected`. The record that stands afterwards; null: the
  /// session is gone.
  [[nodiscard]] Result<Record> claim(const Record& record, std::string_view expected, std::string_view mine);
  /// What the store says of it now; null: there is none.
  [[nodiscard]] Result<Record> look_again(const std::string& id, std::int64_t now_ms) { return read(id, now_ms); }
  /// What lives there has no home any more.
  [[nodiscard]] Status release(std::string_view home) { return store_->release(home); }
  [[nodiscard]] Status set_state(const std::string& id, std::string_view state) { return store_->set_state(id, state); }
  /// True when the store says that there is no such session (any more).
  [[nodiscard]] bool gone(const std::string& id, std::int64_t now_ms);
  /// Whether the store does its work. Asks it.
  [[nodiscard]] Status check_store() { return store_->check(); }
  [[nodiscard]] SessionStats stats();
  /// Ends a session in the store and here. kAdmitted: this call ended it; kUnknown: there was none any more.
  [[nodiscard]] SessionOutcome erase(const std::string& id);

 private:
  struct Entry {
    Record record;
    std::uint64_t epoch = 0;     ///< read before the record was read from the store
    std::int64_t seen_ms = 0;    ///< slides here with every request
    std::int64_t stored_ms = 0;  ///< what the store has of it, as far as we wrote it
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    std::list<Entry> entries;                                                // the one used last first
    std::unordered_map<std::string_view, std::list<Entry>::iterator> by_id;  // views into the records
  };
  /// What the cache says of a caller.
  struct Hit {
    bool admitted = false;  ///< false: ask the store
    bool touch = false;     ///< the store's time is due
    bool prove = false;     ///< the caller brings a newer proof than the record's
    Record record;
  };

  [[nodiscard]] Shard& shard_of(std::string_view id);
  [[nodiscard]] Hit look_up(const std::string& id, std::string_view server_id, const mcp::Caller& caller,
                            std::int64_t now_ms);
  [[nodiscard]] Result<Record> read(const std::string& id, std::int64_t now_ms);
  /// Replaces the record on file by one with the caller's proof.
  [[nodiscard]] SessionOutcome prove(Record& record, const mcp::Caller& caller, std::int64_t now_ms);
  void keep(Record record, std::uint64_t epoch);
  /// True when the store's time is due.
  bool slide(Entry& entry, std::int64_t now_ms) const;
  bool slide(const std::string& id, std::int64_t now_ms);
  void forget(const std::string& id);
  /// Writes a changed record; null when the session is gone.
  [[nodiscard]] Result<Record> replace(mcp::SessionRecord record);
  void expire_now_and_then(std::int64_t now_ms);

  const std::int64_t ttl_ms_;
  const std::unique_ptr<SessionStore> store_;
  const std::atomic<std::uint64_t>& epoch_;
  std::atomic<std::int64_t> expired_at_ms_{0};
  std::atomic<std::uint64_t> opened_{0};
  std::atomic<std::uint64_t> ended_{0};
  std::atomic<std::uint64_t> expired_{0};
  std::array<Shard, 16> shards_;
};

}  // namespace ringside::worker
