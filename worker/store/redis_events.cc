// What streams have said, in a Redis: a hash for each stream, its events in a sorted set by number. A script appends a
// batch as one step. Nothing stays longer than its time: expire() tells what is too old, and keys expire by themselves
// where no Ringside is left to say it.

#include <charconv>
#include <utility>

#include "worker/store/redis_parts.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kStream = "ringside:stream:";    // a hash by token
constexpr std::string_view kEvents = "ringside:events:";    // a sorted set by token; members "AT DATA" behind a number
constexpr std::string_view kStreams = "ringside:streams:";  // tokens by session
constexpr std::string_view kBefore = "ringside:events-before";  // what was said before is gone

// ARGV: the three prefixes, how many to keep, for how long, then eight of each event.
constexpr std::string_view kAppend = R"(
  for i = 6, #ARGV, 8 do
    local token, session, request, method, over, number, at, data = unpack(ARGV, i, i + 7)
    local stream, events, streams = ARGV[1] .. token, ARGV[2] .. token, ARGV[3] .. session
    local owner = redis.call('HGET', stream, 'session')
    if not owner or owner == session then
      local last = tonumber(redis.call('HGET', stream, 'last') or '0')
      if tonumber(number) > last then last = tonumber(number) end
      redis.call('HSET', stream, 'session', session, 'request_id', request, 'method', method,
                 'last', string.format('%d', last), 'at', at)
      if over == '1' then redis.call('HSET', stream, 'over', '1') end
      redis.call('ZREMRANGEBYSCORE', events, number, number)
      redis.call('ZADD', events, number, number .. ' ' .. at .. ' ' .. data)
      redis.call('ZREMRANGEBYRANK', events, 0, -1 - tonumber(ARGV[4]))
      redis.call('SADD', streams, token)
      redis.call('PEXPIRE', stream, ARGV[5])
      redis.call('PEXPIRE', events, ARGV[5])
      redis.call('PEXPIRE', streams, ARGV[5])
    end
  end
  return 1)";
// KEYS: the stream, its events, kBefore. ARGV: the session, after.
constexpr std::string_view kReplay = R"(
  local head = redis.call('HMGET', KEYS[1], 'session', 'request_id', 'method', 'last', 'over', 'at')
  local before = redis.call('GET', KEYS[3]) or '0'
  if head[1] ~= ARGV[1] or tonumber(head[6]) < tonumber(before) then return false end
  return {head[2], head[3], head[4], head[5] or '0', before,
          redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf')})";
// KEYS: the session's streams. ARGV: the two prefixes.
constexpr std::string_view kErase = R"(
  for _, token in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    redis.call('DEL', ARGV[1] .. token, ARGV[2] .. token)
  end
  redis.call('DEL', KEYS[1])
  return 1)";
// KEYS: kBefore. ARGV: before.
constexpr std::string_view kExpire = R"(
  local before = tonumber(redis.call('GET', KEYS[1]) or '0')
  if tonumber(ARGV[1]) > before then redis.call('SET', KEYS[1], ARGV[1]) end
  return 0)";

template <typename Number>
Number take_number(std::string_view& text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.empty()) text.remove_prefix(1);
  return number;
}

template <typename Number>
Number number_in(const std::string& text) {
  std::string_view rest = text;
  return take_number<Number>(rest);
}

class RedisEvents final : public EventLog {
 public:
  RedisEvents(RedisPlace place, EventLimits limits)
      : connection_(std::move(place), "event log"),
        kept_(std::to_string(limits.per_stream)),
        ttl_(std::to_string(limits.ttl_ms)) {}

  Status append(const std::vector<EventWrite>& batch) override;
  Result<std::optional<Replay>> replay(const std::string& session, const std::string& token,
                                       std::uint64_t after) override;
  Status erase(const std::string& session) override;
  Result<std::int64_t> expire(std::int64_t before_ms) override;

 private:
  RedisConnection connection_;
  const std::string kept_;
  const std::string ttl_;
};

Status RedisEvents::append(const std::vector<EventWrite>& batch) {
  std::vector<std::string> numbers;  // whose bytes the arguments view
  numbers.reserve(batch.size() * 2);
  std::vector<std::string_view> arguments{"EVAL", kAppend, "0", kStream, kEvents, kStreams, kept_, ttl_};
  for (const EventWrite& each : batch) {
    const std::string& number = numbers.emplace_back(std::to_string(each.event.number));
    const std::string& at = numbers.emplace_back(std::to_string(each.at_ms));
    arguments.insert(arguments.end(), {each.head.token, each.head.session, each.head.request_id, each.head.method,
                                       each.head.over ? "1" : "0", number, at, each.event.data});
  }
  const auto reply = connection_.run(arguments);
  return reply ? Status() : Status(reply.error());
}

Result<std::optional<Replay>> RedisEvents::replay(const std::string& session, const std::string& token,
                                                  std::uint64_t after) {
  const std::string stream = std::string(kStream) + token;
  const std::string events = std::string(kEvents) + token;
  const std::string from = std::to_string(after);
  const auto reply = RS_TRY(connection_.run({"EVAL", kReplay, "3", stream, events, kBefore, session, from}));
  const auto items = items_of(*reply);
  if (items.size() != 6) return std::optional<Replay>();
  Replay replay;
  replay.head = {token, session, text_of(*items[0]), text_of(*items[1]), text_of(*items[3]) == "1"};
  replay.last = number_in<std::uint64_t>(text_of(*items[2]));
  const auto before = number_in<std::int64_t>(text_of(*items[4]));
  std::uint64_t wanted = after + 1;
  for (const redisReply* item : items_of(*items[5])) {
    const std::string text = text_of(*item);
    std::string_view rest = text;
    const auto number = take_number<std::uint64_t>(rest);
    if (take_number<std::int64_t>(rest) < before) continue;
    replay.evicted = replay.evicted || number != wanted;
    wanted = number + 1;
    replay.events.push_back({number, std::string(rest)});
  }
  // What follows is gone altogether, as after the time to keep it.
  replay.evicted = replay.evicted || (after < replay.last && wanted != replay.last + 1);
  return std::optional(std::move(replay));
}

Status RedisEvents::erase(const std::string& session) {
  const auto reply = connection_.run({"EVAL", kErase, "1", std::string(kStreams) + session, kStream, kEvents});
  return reply ? Status() : Status(reply.error());
}

Result<std::int64_t> RedisEvents::expire(std::int64_t before_ms) {
  const auto reply = RS_TRY(connection_.run({"EVAL", kExpire, "1", kBefore, std::to_string(before_ms)}));
  return integer_of(*reply);
}

}  // namespace

std::unique_ptr<EventLog> make_redis_events(const RedisPlace& place, EventLimits limits) {
  return std::make_unique<RedisEvents>(place, limits);
}

}  // namespace ringside::worker
