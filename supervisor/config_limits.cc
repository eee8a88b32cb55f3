#include "supervisor/config_limits.h"

namespace ringside::supervisor {
namespace {

constexpr std::uint64_t kMaxBodyBytes = 512ULL << 20U;  // gRPC's limit is twice this, and an int
constexpr std::uint64_t kDayMs = 24ULL * 3600 * 1000;
constexpr std::uint64_t kYearSeconds = 366ULL * 24 * 3600;
constexpr std::uint64_t kMaxConnections = 1024;
constexpr std::uint64_t kMaxCallsUnderWay = 1'000'000;
constexpr std::uint64_t kMaxEvents = 100'000;
constexpr std::uint64_t kMaxPageEntries = 10'000;
constexpr std::uint64_t kMaxConversations = 1'000'000;
constexpr std::uint64_t kMaxChildren = 10'000;

}  // namespace

link::v1::Limits default_limits() {
  link::v1::Limits limits;
  limits.set_body_bytes(64ULL << 20U);
  limits.set_call_timeout_ms(60'000);
  limits.set_session_ttl_ms(3'600'000);
  limits.set_upstream_connections(8);
  limits.set_catalog_ttl_ms(30'000);
  limits.set_calls_per_worker(4096);
  limits.set_slow_call_ms(5'000);
  limits.set_events_per_stream(100);
  limits.set_event_ttl_ms(3'600'000);
  limits.set_conversations_per_upstream(10'000);
  limits.set_children_per_upstream(32);
  return limits;
}

void read_limits(const Field& field, link::v1::Limits& limits) {
  std::uint64_t value = 0;
  const auto number = [&](std::uint64_t least, std::uint64_t most, auto set) {
    return [&value, least, most, set](const Field& member) {
      value = least;
      member.read(value, least, most);
      set(value);
    };
  };
  const auto count = [&](std::uint64_t least, std::uint64_t most, auto set) {
    return number(least, most, [&limits, set](std::uint64_t v) { (limits.*set)(static_cast<std::uint32_t>(v)); });
  };
  using L = link::v1::Limits;
  field.each_known({
      {"bodyBytes", number(1, kMaxBodyBytes, [&](std::uint64_t v) { limits.set_body_bytes(v); })},
      {"callTimeoutMs", number(1, kDayMs, [&](std::uint64_t v) { limits.set_call_timeout_ms(v); })},
      {"sessionTtlSeconds", number(1, kYearSeconds, [&](std::uint64_t v) { limits.set_session_ttl_ms(v * 1000); })},
      {"upstreamConnections", count(1, kMaxConnections, &L::set_upstream_connections)},
      {"callsPerWorker", count(0, kMaxCallsUnderWay, &L::set_calls_per_worker)},
      {"callsPerOwner", count(0, kMaxCallsUnderWay, &L::set_calls_per_owner)},
      {"slowCallMs", number(0, kDayMs, [&](std::uint64_t v) { limits.set_slow_call_ms(v); })},
      {"catalogTtlSeconds", number(0, kDayMs / 1000, [&](std::uint64_t v) { limits.set_catalog_ttl_ms(v * 1000); })},
      {"eventsPerStream", count(1, kMaxEvents, &L::set_events_per_stream)},
      {"eventTtlSeconds", number(1, kYearSeconds, [&](std::uint64_t v) { limits.set_event_ttl_ms(v * 1000); })},
      {"pageEntries", count(0, kMaxPageEntries, &L::set_page_entries)},
      {"conversationsPerUpstream", count(1, kMaxConversations, &L::set_conversations_per_upstream)},
      {"childrenPerUpstream", count(1, kMaxChildren, &L::set_children_per_upstream)},
  });
}

}  // namespace ringside::supervisor
