#include "worker/runtime/stream.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "mcp/sse.h"
#include "rpc/errors.h"

namespace ringside::worker {
namespace {

constexpr int kRetryMs = 1000;  // what a client waits before it comes back
constexpr std::string_view kTooLarge = "upstream's answer is too large";
constexpr std::size_t kTokenLength = 16;

mcp::Response gone(std::string_view why) { return rpc::detail_error(400, why); }

}  // namespace

bool takes_events(Call& call) {
  return call.streams() ||
         ascii_lower(call.request().headers.get("accept")).find(mcp::kEventStream) != std::string::npos;
}

mcp::Response event_stream_head() {
  mcp::Response head;
  head.headers.set("content-type", std::string(mcp::kEventStream));
  head.headers.set("cache-control", "no-cache");
  return head;
}

std::optional<EventId> read_event_id(std::string_view text) {
  if (text.size() < kTokenLength + 2 || text[kTokenLength] != '-') return std::nullopt;
  EventId id{std::string(text.substr(0, kTokenLength)), 0};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + kTokenLength + 1, end, id.number);
  return error == std::errc() && stop == end ? std::optional(std::move(id)) : std::nullopt;
}

Stream::Stream(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, StreamFacts facts)
    : ledger_(std::move(ledger)),
      facts_(std::move(facts)),
      call_(std::move(call)),
      streams_(call_ == nullptr || call_->streams()) {}

std::shared_ptr<Stream> Stream::revive(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, StreamFacts facts) {
  auto stream = std::make_shared<Stream>(nullptr, std::move(ledger), std::move(facts));
  stream->coming_ = std::move(call);
  stream->begun_ = true;
  stream->over_ = stream->facts_.head.over;
  return stream;
}

bool Stream::begin(const std::shared_ptr<Call>& call) {
  auto head = event_stream_head();
  ledger_->sign(*call, head);
  return call->begin(std::move(head));
}

std::string Stream::numbered_event(std::string_view json, bool last) {
  if (!numbered()) return mcp::format_sse(json);
  const std::uint64_t number = facts_.next++;
  if (last) facts_.head.over = true;
  facts_.writer->write(facts_.head, {number, std::string(json)});
  return mcp::format_sse(json, {}, token() + "-" + std::to_string(number));
}

Written Stream::put(std::string_view json, bool last) {
  if (!begun_) {
    begun_ = begin(call_);
    if (!begun_) return Written::kMore;
    if (facts_.primed && numbered()) {
      call_->write("retry: " + std::to_string(kRetryMs) + "\n" + numbered_event({}, false));
    }
  }
  std::string event = numbered_event(json, last);
  if (coming_ != nullptr) meanwhile_.push_back(std::move(event));
  return call_ != nullptr && coming_ == nullptr ? call_->write(std::move(event)) : Written::kMore;
}

bool Stream::open() {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    call = call_;
    // Under the lock: no message comes before the head.
    begun_ = begin(call);
    if (begun_ && facts_.primed && numbered()) {
      call->write("retry: " + std::to_string(kRetryMs) + "\n" + numbered_event({}, false));
    }
  }
  if (!begun_) {
    end();
    return false;
  }
  watch(call);
  return true;
}

void Stream::watch(const std::shared_ptr<Call>& call) {
  call->on_cancel([weak = weak_from_this(), raw = call.get()] {
    if (const auto self = weak.lock()) self->detach(raw);
  });
}

bool Stream::message(std::string_view json) {
  std::shared_ptr<Call> call;
  Written written = Written::kMore;
  {
    // Held while the piece is written: the answer must come behind it.
    const std::lock_guard lock(mutex_);
    if (over_) return true;
    if (!streams_) {
      begun_ = true;
      too_large_ = too_large_ || json.size() > facts_.max_text_bytes - std::min(facts_.max_text_bytes, text_.size());
      if (!too_large_) text_ += mcp::format_sse(json);
      return true;
    }
    written = put(json, false);
    call = call_;
  }
  if (written == Written::kCut && call != nullptr) call->cancel();
  return written != Written::kSlow;
}

bool Stream::say(std::string_view json, bool unheard) {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    if (over_ || !streams_) return false;
    if (call_ == nullptr && coming_ == nullptr && !(unheard && numbered())) return false;
    const Written written = put(json, false);
    // Whoever does not read is cut off.
    if (written == Written::kCut) call = call_;
  }
  if (call != nullptr) call->cancel();
  return true;
}

void Stream::answer(mcp::Response response) {
  std::shared_ptr<Call> call;
  bool begun = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(over_, true)) return;
    begun = begun_;
    if (begun && streams_) put(response.body, true);
    call = std::exchange(call_, nullptr);
  }
  if (call == nullptr) return;
  if (!begun) return ledger_->answer(call, std::move(response));
  if (streams_) return ledger_->end(call);
  const std::string last = mcp::format_sse(response.body);
  if (too_large_ || last.size() > facts_.max_text_bytes - std::min(facts_.max_text_bytes, text_.size())) {
    return ledger_->answer(call, rpc::backend_down(facts_.head.request_id, kTooLarge, rpc::Origin::kUpstream));
  }
  mcp::Response whole = event_stream_head();
  whole.body = std::move(text_) + last;
  ledger_->answer(call, std::move(whole));
}

void Stream::end(int retry_ms) {
  std::shared_ptr<Call> call;
  std::shared_ptr<Call> coming;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(over_, true)) return;
    call = std::exchange(call_, nullptr);
    coming = std::exchange(coming_, nullptr);
    if (call != nullptr && !begun_) begun_ = begin(call);
    if (call != nullptr && begun_ && retry_ms != 0) call->write("retry: " + std::to_string(retry_ms) + "\n\n");
  }
  if (call != nullptr) ledger_->end(call);
  if (coming != nullptr) ledger_->answer(coming, gone("Unknown event id"));
}

void Stream::resume(const std::shared_ptr<Call>& call, std::uint64_t after) {
  std::shared_ptr<Call> before;
  std::shared_ptr<Call> other;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(call_, nullptr);
    other = std::exchange(coming_, call);
    meanwhile_.clear();
  }
  // One call hears a stream, the last that asked for it.
  if (before != nullptr) ledger_->end(before);
  if (other != nullptr) ledger_->answer(other, gone("Unknown event id"));
  facts_.writer->replay(facts_.head.session, token(), after,
                        [self = shared_from_this(), call](const Result<std::optional<Replay>>& replay) {
                          self->take_over(call, replay);
                        });
}

void Stream::take_over(const std::shared_ptr<Call>& call, const Result<std::optional<Replay>>& replay) {
  std::function<void()> room;
  std::optional<mcp::Response> refusal;
  bool over = false;
  {
    const std::lock_guard lock(mutex_);
    if (coming_ != call) return;  // another one came, or the end; this call has been told
    coming_.reset();
    if (!replay.ok()) {
      refusal = rpc::backend_down({}, "the session store is not available", rpc::Origin::kModule);
    } else if (!*replay) {
      refusal = gone("Unknown event id");
    } else if ((*replay)->evicted) {
      refusal = gone("Event id evicted");
    } else {
      catch_up(call, **replay);
      over = over_;
      if (!over) call_ = call;
      room = room_hook_;
    }
    meanwhile_.clear();
  }
  if (refusal) return ledger_->answer(call, std::move(*refusal));
  if (over) return ledger_->end(call);
  call->on_room(room);
  watch(call);
  if (room) room();
}

void Stream::catch_up(const std::shared_ptr<Call>& call, const Replay& replay) {
  begin(call);
  std::uint64_t next = facts_.next - std::min<std::uint64_t>(facts_.next, meanwhile_.size());
  for (const LoggedEvent& each : replay.events) {
    if (each.number >= next) break;  // heard since, and kept below
    call->write(mcp::format_sse(each.data, {}, token() + "-" + std::to_string(each.number)));
  }
  for (std::string& each : meanwhile_) call->write(std::move(each));
}

void Stream::detach(const Call* call) {
  std::shared_ptr<Call> gone;
  {
    const std::lock_guard lock(mutex_);
    if (call_.get() != call) return;
    gone = std::exchange(call_, nullptr);
    if (!numbered()) over_ = true;
  }
  ledger_->end(gone);
}

bool Stream::heard() {
  const std::lock_guard lock(mutex_);
  return !over_ && streams_ && (call_ != nullptr || coming_ != nullptr);
}

bool Stream::over() {
  const std::lock_guard lock(mutex_);
  return over_;
}

void Stream::on_room(std::function<void()> hook) {
  std::shared_ptr<Call> call;
  {
    const std::lock_guard lock(mutex_);
    room_hook_ = hook;
    call = call_;
  }
  if (call != nullptr) call->on_room(std::move(hook));
}

}  // namespace ringside::worker
