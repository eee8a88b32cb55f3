// Sessions in a Redis, which several Ringsides may share. Each is a hash; what must hold together is done by a script,
// which Redis runs as one step.

#include <charconv>
#include <utility>

#include "worker/store/redis_connection.h"
#include "worker/store/redis_parts.h"
#include "worker/store/store.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kSession = "ringside:session:";
constexpr std::string_view kSeen = "ringside:seen";   // ids by when they were seen last
constexpr std::string_view kHome = "ringside:home:";  // the ids that live there

// KEYS: the session, kSeen. ARGV: the id, seen before, the fields and values.
constexpr std::string_view kCreate = R"(
  local seen = redis.call('HGET', KEYS[1], 'seen_ms')
  if seen and tonumber(seen) >= tonumber(ARGV[2]) then return 0 end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'home', '', 'state', '', unpack(ARGV, 4))
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  return 1)";
// The same; ARGV[2] is not looked at.
constexpr std::string_view kUpdate = R"(
  local seen = redis.call('HGET', KEYS[1], 'seen_ms')
  if not seen then return 0 end
  redis.call('HSET', KEYS[1], unpack(ARGV, 4))
  if tonumber(seen) > tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], 'seen_ms', seen) end
  redis.call('ZADD', KEYS[2], redis.call('HGET', KEYS[1], 'seen_ms'), ARGV[1])
  return 1)";
// ARGV: the id, seen.
constexpr std::string_view kTouch = R"(
  local seen = redis.call('HGET', KEYS[1], 'seen_ms')
  if not seen or tonumber(seen) >= tonumber(ARGV[2]) then return 0 end
  redis.call('HSET', KEYS[1], 'seen_ms', ARGV[2])
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
  return 1)";
// KEYS: the session, the new home's set. ARGV: the id, expected, mine, the prefix of homes.
constexpr std::string_view kClaim = R"(
  local home = redis.call('HGET', KEYS[1], 'home')
  if not home then return false end
  if home ~= ARGV[2] then return home end
  redis.call('HSET', KEYS[1], 'home', ARGV[3])
  if home ~= '' then redis.call('SREM', ARGV[4] .. home, ARGV[1]) end
  if ARGV[3] ~= '' then redis.call('SADD', KEYS[2], ARGV[1]) end
  return ARGV[3])";
// KEYS: the home's set. ARGV: the home, the prefix of sessions.
constexpr std::string_view kRelease = R"(
  for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if redis.call('HGET', ARGV[2] .. id, 'home') == ARGV[1] then
      redis.call('HSET', ARGV[2] .. id, 'home', '')
    end
  end
  redis.call('DEL', KEYS[1])
  return 1)";
// KEYS: the session. ARGV: the state.
constexpr std::string_view kSetState = R"(
  if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'state', ARGV[1]) end
  return 1)";
// KEYS: kSeen. ARGV: the prefix of sessions, the prefix of homes, then ids. Tells the other Ringsides.
constexpr std::string_view kErase = R"(
  local gone = 0
  for i = 5, #ARGV do
    local home = redis.call('HGET', ARGV[1] .. ARGV[i], 'home')
    if home and home ~= '' then redis.call('SREM', ARGV[2] .. home, ARGV[i]) end
    gone = gone + redis.call('DEL', ARGV[1] .. ARGV[i])
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
  if gone > 0 then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
  return gone)";
// KEYS: kSeen. ARGV: the prefix of sessions, the prefix of homes, before. Up to a thousand a time.
constexpr std::string_view kExpire = R"(
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3], 'LIMIT', 0, 1000)
  for _, id in ipairs(ids) do
    local home = redis.call('HGET', ARGV[1] .. id, 'home')
    if home and home ~= '' then redis.call('SREM', ARGV[2] .. home, id) end
    redis.call('DEL', ARGV[1] .. id)
    redis.call('ZREM', KEYS[1], id)
  end
  return #ids)";
constexpr std::int64_t kExpireAtOnce = 1000;

std::int64_t number_of(const redisReply& reply) {
  const std::string text = text_of(reply);
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

class RedisStore final : public SessionStore {
 public:
  RedisStore(RedisPlace place, std::string node, std::unique_ptr<RedisListener> listener)
      : connection_(std::move(place), "session store"), node_(std::move(node)), listener_(std::move(listener)) {}

  Result<std::optional<mcp::SessionRecord>> find(const std::string& id, std::int64_t expired_before_ms) override;
  Result<bool> create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) override {
    return write(kCreate, record, expired_before_ms);
  }
  Result<bool> update(const mcp::SessionRecord& record) override { return write(kUpdate, record, 0); }
  Status touch(const std::string& id, std::int64_t seen_ms) override;
  Result<std::optional<std::string>> claim(const std::string& id, std::string_view expected,
                                           std::string_view mine) override;
  Status release(std::string_view home) override;
  Status set_state(const std::string& id, std::string_view state) override;
  Result<bool> erase(const std::string& id) override;
  Result<std::int64_t> expire(std::int64_t expired_before_ms) override;
  Status check() override;

 private:
  Result<bool> write(std::string_view script, const mcp::SessionRecord& record, std::int64_t expired_before_ms);
  static std::string key(std::string_view id) { return std::string(kSession).append(id); }

  RedisConnection connection_;
  const std::string node_;
  const std::unique_ptr<RedisListener> listener_;
};

Result<std::optional<mcp::SessionRecord>> RedisStore::find(const std::string& id, std::int64_t expired_before_ms) {
  const auto reply = RS_TRY(connection_.run({"HMGET", key(id), "server_id", "owner", "fingerprint", "auth_expires_ms",
                                             "protocol_version", "created_ms", "seen_ms", "client", "home", "state"}));
  const auto items = items_of(*reply);
  std::optional<mcp::SessionRecord> record;
  constexpr std::size_t kSeenAt = 6;
  if (items.size() != 10 || is_nil(*items[kSeenAt]) || number_of(*items[kSeenAt]) < expired_before_ms) return record;
  record.emplace();
  record->id = id;
  record->server_id = text_of(*items[0]);
  record->owner = text_of(*items[1]);
  record->fingerprint = text_of(*items[2]);
  record->auth_expires_ms = number_of(*items[3]);
  record->protocol_version = text_of(*items[4]);
  record->created_ms = number_of(*items[5]);
  record->seen_ms = number_of(*items[kSeenAt]);
  record->client = text_of(*items[7]);
  record->home = text_of(*items[8]);
  record->state = text_of(*items[9]);
  return record;
}

Result<bool> RedisStore::write(std::string_view script, const mcp::SessionRecord& record,
                               std::int64_t expired_before_ms) {
  const std::string session = key(record.id);
  const std::string before = std::to_string(expired_before_ms);
  const std::string expires = std::to_string(record.auth_expires_ms);
  const std::string created = std::to_string(record.created_ms);
  const std::string seen = std::to_string(record.seen_ms);
  const auto reply = RS_TRY(connection_.run({"EVAL",
                                             script,
                                             "2",
                                             session,
                                             kSeen,
                                             record.id,
                                             before,
                                             seen,
                                             "server_id",
                                             record.server_id,
                                             "owner",
                                             record.owner,
                                             "fingerprint",
                                             record.fingerprint,
                                             "auth_expires_ms",
                                             expires,
                                             "protocol_version",
                                             record.protocol_version,
                                             "created_ms",
                                             created,
                                             "seen_ms",
                                             seen,
                                             "client",
                                             record.client}));
  return integer_of(*reply) == 1;
}

Status RedisStore::touch(const std::string& id, std::int64_t seen_ms) {
  const auto reply = connection_.run({"EVAL", kTouch, "2", key(id), kSeen, id, std::to_string(seen_ms)});
  return reply ? Status() : Status(reply.error());
}

Result<std::optional<std::string>> RedisStore::claim(const std::string& id, std::string_view expected,
                                                     std::string_view mine) {
  const std::string home = std::string(kHome).append(mine);
  const auto reply = RS_TRY(connection_.run({"EVAL", kClaim, "2", key(id), home, id, expected, mine, kHome}));
  if (is_nil(*reply)) return std::optional<std::string>();
  return std::optional(text_of(*reply));
}

Status RedisStore::release(std::string_view home) {
  if (home.empty()) return {};
  const auto reply = connection_.run({"EVAL", kRelease, "1", std::string(kHome).append(home), home, kSession});
  return reply ? Status() : Status(reply.error());
}

Status RedisStore::set_state(const std::string& id, std::string_view state) {
  const auto reply = connection_.run({"EVAL", kSetState, "1", key(id), state});
  return reply ? Status() : Status(reply.error());
}

Result<bool> RedisStore::erase(const std::string& id) {
  const auto reply = RS_TRY(connection_.run({"EVAL", kErase, "1", kSeen, kSession, kHome, kRedisEpoch, node_, id}));
  return integer_of(*reply) == 1;
}

Result<std::int64_t> RedisStore::expire(std::int64_t expired_before_ms) {
  const std::string before = std::to_string(expired_before_ms);
  std::int64_t gone = 0;
  for (std::int64_t last = kExpireAtOnce; last == kExpireAtOnce;) {
    const auto reply = RS_TRY(connection_.run({"EVAL", kExpire, "1", kSeen, kSession, kHome, before}));
    last = integer_of(*reply);
    gone += last;
  }
  return gone;
}

/// A write, since a Redis that is full still reads.
Status RedisStore::check() {
  const auto reply = connection_.run({"SET", "ringside:check", node_});
  return reply ? Status() : Status(reply.error());
}

}  // namespace

std::unique_ptr<SessionStore> make_redis_sessions(const RedisPlace& place, std::string node,
                                                  std::unique_ptr<RedisListener> listener) {
  return std::make_unique<RedisStore>(place, std::move(node), std::move(listener));
}

}  // namespace ringside::worker
