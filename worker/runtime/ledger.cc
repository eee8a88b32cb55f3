#include "worker/runtime/ledger.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {
namespace {

constexpr std::uint32_t kLinesPerSecond = 20;
constexpr std::size_t kLongestShownId = 128;

/// A stranger's id in a log line: one word, whatever it is.
std::string shown(std::string_view id) {
  std::string text(id.substr(0, kLongestShownId));
  for (char& c : text) {
    const bool fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      std::string_view("-_.:/+@").find(c) != std::string_view::npos;
    if (!fine) c = '?';
  }
  return text;
}

/// The trace id of a traceparent (W3C Trace Context, 3.2.2): version-TRACE-parent-flags. Empty when it is none.
std::string_view trace_of(std::string_view traceparent) {
  constexpr std::size_t kFrom = 3;
  constexpr std::size_t kLength = 32;
  if (traceparent.size() < 55 || traceparent[2] != '-' || traceparent[kFrom + kLength] != '-') return {};
  const auto trace = traceparent.substr(kFrom, kLength);
  return std::all_of(trace.begin(), trace.end(), [](char c) { return hex_value(c) >= 0; }) ? trace : std::string_view();
}

/// The lowest 6 bits of `number` for each of so many letters (base64url's).
void append_letters(std::uint64_t number, int letters, std::string& to) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (int at = letters - 1; at >= 0; --at) to += kLetters[number >> (6 * at) & 63U];
}

/// Whether its caller named the call.
bool is_named(Call& call) {
  const mcp::Headers& headers = call.request().headers;
  return headers.find(kRequestIdHeader) != nullptr || headers.find(kTraceParentHeader) != nullptr;
}

}  // namespace

void Ledger::begin(Call& call) {
  Call::Notes& notes = call.notes();
  notes.began = clock_.now();
  notes.bytes_in = call.request().body.size();
  // What another worker of ours has relayed is counted there.
  if (call.request().relayed) return;
  notes.number = by_door_[static_cast<std::size_t>(call.door())].fetch_add(1, std::memory_order_relaxed);
  under_way_.fetch_add(1, std::memory_order_relaxed);
}

std::string Ledger::id_of(Call& call) const {
  const mcp::Headers& headers = call.request().headers;
  if (const auto given = headers.get(kRequestIdHeader); !given.empty()) return std::string(given);
  if (const auto trace = trace_of(headers.get(kTraceParentHeader)); !trace.empty()) return std::string(trace);
  // 36 bits of the worker and 48 of the call: 14 letters, which no std::string on the way needs memory for.
  const std::uint64_t number = call.notes().number << 2U | static_cast<std::uint64_t>(call.door());
  std::string id;
  append_letters(options_.id_seed, 6, id);
  append_letters(number, 8, id);
  return id;
}

void Ledger::sign(Call& call, mcp::Response& head) const { head.headers.set(kRequestIdHeader, id_of(call)); }

void Ledger::answer(const std::shared_ptr<Call>& call, mcp::Response response) {
  // Before the answer goes out: who has read it finds it counted.
  finished(*call, response.status, response.body.size(), false);
  // What was answered here, and well, stands in no log and with no upstream. To name it all the same would cost a tenth
  // of a ping through a ring.
  if (call->notes().upstream != nullptr || response.status >= 400 || is_named(*call)) sign(*call, response);
  call->answer(std::move(response));
  left(*call);
}

void Ledger::end(const std::shared_ptr<Call>& call) {
  finished(*call, 200, call->notes().bytes_streamed.load(std::memory_order_relaxed), true);
  call->end();
  left(*call);
}

void Ledger::left(Call& call) {
  if (!call.request().relayed) under_way_.fetch_sub(1, std::memory_order_relaxed);
}

void Ledger::finished(Call& call, int status, std::uint64_t bytes_out, bool stream) {
  if (call.request().relayed) return;
  const Call::Notes& notes = call.notes();
  const Duration took = clock_.now() - notes.began;
  meter_.count(call.door(), notes.method, {status, notes.bytes_in, bytes_out, stream, took});
  // A stream that listens is not slow, but long.
  const bool slow = options_.slow > Duration(0) && took >= options_.slow && notes.method != Method::kListen;
  if ((status >= 500 || slow) && !call.cancelled()) tell(call, status, took);
}

void Ledger::tell(Call& call, int status, Duration took) {
  const std::int64_t second = std::chrono::floor<std::chrono::seconds>(clock_.now().time_since_epoch()).count();
  if (second_.exchange(second, std::memory_order_relaxed) != second) told_.store(0, std::memory_order_relaxed);
  if (told_.fetch_add(1, std::memory_order_relaxed) >= kLinesPerSecond) {
    untold_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const Call::Notes& notes = call.notes();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  log::warn("{} request_id={} door={} method={} status={} ms={} upstream={} lines_left_out={}",
            status >= 500 ? "call failed" : "call was slow", shown(id_of(call)), to_string(call.door()),
            to_string(notes.method), status, ms, notes.upstream == nullptr ? "-" : *notes.upstream,
            untold_.exchange(0, std::memory_order_relaxed));
}

RuntimeStats Ledger::stats() const {
  RuntimeStats stats;
  for (std::size_t door = 0; door < kDoorCount; ++door) {
    stats.by_door.at(door) = by_door_.at(door).load(std::memory_order_relaxed);
    stats.calls += stats.by_door.at(door);
  }
  stats.under_way = under_way_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace ringside::worker
