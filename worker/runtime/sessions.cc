#include "worker/runtime/sessions.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace ringside::worker {
namespace {

constexpr std::size_t kMaxPerShard = 1024;   // × 16 shards: 16,384 sessions cached, at under 1 KiB each
constexpr std::int64_t kTouchesPerTtl = 60;  // how often a busy session's time is written to the store
constexpr std::int64_t kExpireEveryMs = 60'000;

SessionOutcome outcome_of(mcp::Admission admission) {
  switch (admission) {
    case mcp::Admission::kAdmitted:
      return SessionOutcome::kAdmitted;
    case mcp::Admission::kExpired:
      return SessionOutcome::kExpired;
    case mcp::Admission::kDenied:
      break;
  }
  return SessionOutcome::kDenied;
}

/// True when the record should say what the caller's own context shows. An expiry that only moves on is written when it
/// has doubled what is left, so that a gateway that states a new one with every request costs no write each time.
bool is_new_proof(const mcp::SessionRecord& record, const mcp::Caller& caller, std::int64_t now_ms) {
  if (!caller.has_context || record.owner.empty()) return false;
  if (record.fingerprint != caller.fingerprint) return true;
  if (record.auth_expires_ms == 0 || caller.expires_ms == 0) return record.auth_expires_ms != caller.expires_ms;
  return caller.expires_ms < record.auth_expires_ms ||
         caller.expires_ms - now_ms > 2 * (record.auth_expires_ms - now_ms);
}

}  // namespace

Sessions::Sessions(std::int64_t ttl_ms, std::unique_ptr<SessionStore> store, const std::atomic<std::uint64_t>& epoch)
    : ttl_ms_(ttl_ms), store_(std::move(store)), epoch_(epoch) {}

Sessions::Shard& Sessions::shard_of(std::string_view id) {
  return shards_[std::hash<std::string_view>()(id) % shards_.size()];
}

Sessions::Hit Sessions::look_up(const std::string& id, std::string_view server_id, const mcp::Caller& caller,
                                std::int64_t now_ms) {
  // Acquire: pairs with the supervisor's release when it advances the epoch; a store read after it sees what made it
  // advance.
  const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_id.find(id);
  if (found == shard.by_id.end()) return {};
  Entry& entry = *found->second;
  if (entry.epoch != epoch || now_ms > entry.seen_ms + ttl_ms_) return {};
  if (mcp::admit(*entry.record, server_id, caller, now_ms) != mcp::Admission::kAdmitted) return {};
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  return {true, slide(entry, now_ms), is_new_proof(*entry.record, caller, now_ms), entry.record};
}

bool Sessions::slide(Entry& entry, std::int64_t now_ms) const {
  entry.seen_ms = std::max(entry.seen_ms, now_ms);
  if (now_ms - entry.stored_ms < ttl_ms_ / kTouchesPerTtl) return false;
  entry.stored_ms = now_ms;
  return true;
}

bool Sessions::slide(const std::string& id, std::int64_t now_ms) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_id.find(id);
  return found == shard.by_id.end() || slide(*found->second, now_ms);
}

Result<Sessions::Record> Sessions::read(const std::string& id, std::int64_t now_ms) {
  const std::uint64_t epoch =
      epoch_.load(std::memory_order_acquire);  // before the read: what comes later makes it stale
  auto record = RS_TRY(store_->find(id, now_ms - ttl_ms_));
  if (!record) {
    forget(id);
    return Record();
  }
  auto shared = std::make_shared<const mcp::SessionRecord>(std::move(*record));
  keep(shared, epoch);
  return Record(std::move(shared));
}

void Sessions::keep(Record record, std::uint64_t epoch) {
  Shard& shard = shard_of(record->id);
  std::list<Entry> dropped;  // freed after the lock
  const std::lock_guard lock(shard.mutex);
  const std::int64_t seen_ms = record->seen_ms;
  if (const auto found = shard.by_id.find(record->id); found != shard.by_id.end()) {
    const auto old = found->second;
    shard.by_id.erase(found);
    dropped.splice(dropped.begin(), shard.entries, old);
  } else if (shard.entries.size() >= kMaxPerShard) {
    shard.by_id.erase(shard.entries.back().record->id);
    dropped.splice(dropped.begin(), shard.entries, std::prev(shard.entries.end()));
  }
  shard.entries.push_front({std::move(record), epoch, seen_ms, seen_ms});
  shard.by_id.emplace(shard.entries.front().record->id, shard.entries.begin());
}

void Sessions::forget(const std::string& id) {
  Shard& shard = shard_of(id);
  std::list<Entry> dropped;
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_id.find(id);
  if (found == shard.by_id.end()) return;
  dropped.splice(dropped.begin(), shard.entries, found->second);
  shard.by_id.erase(found);
}

Result<Sessions::Record> Sessions::replace(mcp::SessionRecord record) {
  const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
  if (!RS_TRY(store_->update(record))) {
    forget(record.id);
    return Record();
  }
  auto shared = std::make_shared<const mcp::SessionRecord>(std::move(record));
  keep(shared, epoch);
  return Record(std::move(shared));
}

SessionOutcome Sessions::prove(Record& record, const mcp::Caller& caller, std::int64_t now_ms) {
  mcp::SessionRecord proven = *record;
  proven.fingerprint = caller.fingerprint;
  proven.auth_expires_ms = caller.expires_ms;
  proven.seen_ms = now_ms;
  auto replaced = replace(std::move(proven));
  if (!replaced) return SessionOutcome::kUnavailable;
  record = std::move(*replaced);
  return record ? SessionOutcome::kAdmitted : SessionOutcome::kUnknown;
}

Result<Sessions::Record> Sessions::claim(const Record& record, std::string_view expected, std::string_view mine) {
  const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
  auto home = RS_TRY(store_->claim(record->id, expected, mine));
  if (!home) {
    forget(record->id);
    return Record();
  }
  auto changed = std::make_shared<mcp::SessionRecord>(*record);
  changed->home = std::move(*home);
  keep(changed, epoch);
  return Record(std::move(changed));
}

SessionOutcome Sessions::enter_admitted(const std::string& id, std::int64_t now_ms, Record& record) {
  const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
  {
    Shard& shard = shard_of(id);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.by_id.find(id);
    if (found != shard.by_id.end() && found->second->epoch == epoch && now_ms <= found->second->seen_ms + ttl_ms_) {
      record = found->second->record;
      return SessionOutcome::kAdmitted;
    }
  }
  auto known = read(id, now_ms);
  if (!known) return SessionOutcome::kUnavailable;
  record = std::move(*known);
  return record ? SessionOutcome::kAdmitted : SessionOutcome::kUnknown;
}

SessionOutcome Sessions::enter(const std::string& id, std::string_view server_id, const mcp::Caller& caller,
                               std::int64_t now_ms, Record& record) {
  if (!mcp::is_valid_session_id(id)) return SessionOutcome::kUnknown;
  Hit hit = look_up(id, server_id, caller, now_ms);
  if (!hit.admitted) {
    auto known = read(id, now_ms);
    if (!known) return SessionOutcome::kUnavailable;
    if (!*known) return SessionOutcome::kUnknown;
    hit.record = std::move(*known);
    const auto admission = mcp::admit(*hit.record, server_id, caller, now_ms);
    if (admission != mcp::Admission::kAdmitted) return outcome_of(admission);
    hit.touch = slide(id, now_ms);
    hit.prove = is_new_proof(*hit.record, caller, now_ms);
  }
  record = std::move(hit.record);
  if (hit.prove) return prove(record, caller, now_ms);
  // A touch that fails has been logged; the next one may do. The session itself is fine.
  if (hit.touch) static_cast<void>(store_->touch(id, now_ms).ok());
  return SessionOutcome::kAdmitted;
}

SessionOutcome Sessions::open(const std::string& id, std::string_view server_id, const mcp::Caller& caller,
                              std::string_view protocol_version, std::string_view client, std::int64_t now_ms) {
  expire_now_and_then(now_ms);
  mcp::SessionRecord record;
  record.id = id;
  record.server_id = server_id;
  record.owner = caller.owner;
  record.fingerprint = caller.fingerprint;
  record.auth_expires_ms = caller.expires_ms;
  record.protocol_version = protocol_version;
  record.client = client;
  record.created_ms = now_ms;
  record.seen_ms = now_ms;
  // Twice: the session that is in the way may end between the two questions.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
    const auto created = store_->create(record, now_ms - ttl_ms_);
    if (!created) return SessionOutcome::kUnavailable;
    if (*created) {
      opened_.fetch_add(1, std::memory_order_relaxed);
      keep(std::make_shared<const mcp::SessionRecord>(std::move(record)), epoch);
      return SessionOutcome::kAdmitted;
    }
    const auto existing = read(id, now_ms);
    if (!existing) return SessionOutcome::kUnavailable;
    if (!*existing) continue;
    if (mcp::admit(**existing, server_id, caller, now_ms) != mcp::Admission::kAdmitted) return SessionOutcome::kDenied;
    mcp::SessionRecord again = **existing;
    if (is_new_proof(again, caller, now_ms)) {
      again.fingerprint = caller.fingerprint;
      again.auth_expires_ms = caller.expires_ms;
    }
    again.protocol_version = protocol_version;
    again.client = client;
    again.seen_ms = now_ms;
    const auto replaced = replace(std::move(again));
    if (!replaced) return SessionOutcome::kUnavailable;
    if (*replaced) return SessionOutcome::kAdmitted;
  }
  return SessionOutcome::kDenied;
}

SessionStats Sessions::stats() {
  SessionStats stats{opened_.load(std::memory_order_relaxed), ended_.load(std::memory_order_relaxed),
                     expired_.load(std::memory_order_relaxed), 0};
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    stats.cached += shard.entries.size();
  }
  return stats;
}

bool Sessions::gone(const std::string& id, std::int64_t now_ms) {
  const auto record = read(id, now_ms);
  return record.ok() && *record == nullptr;
}

SessionOutcome Sessions::erase(const std::string& id) {
  const auto erased = store_->erase(id);
  if (!erased) return SessionOutcome::kUnavailable;
  forget(id);
  if (*erased) ended_.fetch_add(1, std::memory_order_relaxed);
  return *erased ? SessionOutcome::kAdmitted : SessionOutcome::kUnknown;
}

void Sessions::expire_now_and_then(std::int64_t now_ms) {
  std::int64_t last = expired_at_ms_.load(std::memory_order_relaxed);
  if (now_ms - last < kExpireEveryMs || !expired_at_ms_.compare_exchange_strong(last, now_ms)) return;
  const auto gone = store_->expire(now_ms - ttl_ms_);
  if (!gone || *gone == 0) return;
  expired_.fetch_add(static_cast<std::uint64_t>(*gone), std::memory_order_relaxed);
  log::info("sessions expired count={}", *gone);
}

}  // namespace ringside::worker
