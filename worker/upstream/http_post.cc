#include "worker/upstream/http_post.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "mcp/message.h"

namespace ringside::worker {
namespace {

// What is read for nothing, so that the connection can be used again, before giving it up is cheaper.
constexpr std::size_t kMaxDiscardedBytes = 64ULL * 1024;
// The most a body's first buffer takes on the word of its Content-Length.
constexpr std::size_t kMaxTrustedLength = 1 << 20U;

bool same_text(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return ascii_lower(x) == ascii_lower(y); });
}

std::string_view media_type(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  while (!type.empty() && (type.front() == ' ' || type.front() == '\t')) type.remove_prefix(1);
  return type;
}

std::size_t stated_length(const mcp::Headers& headers) {
  const auto text = headers.get("content-length");
  std::size_t length = 0;
  std::from_chars(text.data(), text.data() + text.size(), length);
  return length;
}

bool is_success(int http_status) { return http_status >= 200 && http_status < 300; }

bool is_json_lines(std::string_view content_type) {
  constexpr std::string_view kNames[] = {"application/x-ndjson", "application/ndjson", "application/jsonl"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view name) { return is_media_type(content_type, name); });
}

}  // namespace

bool is_media_type(std::string_view content_type, std::string_view type) {
  return same_text(media_type(content_type), type);
}

Post::Post(std::string_view upstream, std::optional<std::uint64_t> id, std::size_t max_body_bytes,
           mcp::EnvelopeReader& reader, Hooks hooks)
    : upstream_(upstream),
      id_(id),
      max_body_bytes_(max_body_bytes),
      reader_(reader),
      hooks_(std::move(hooks)),
      events_(max_body_bytes),
      lines_(max_body_bytes) {}

void Post::on_head(int status, const mcp::Headers& headers) {
  http_status_ = status;
  session_id_ = headers.get("mcp-session-id");
  content_type_ = headers.get("content-type");
  form_ = Form::kOther;
  if (!id_) return;
  if (is_media_type(content_type_, "application/json")) {
    form_ = Form::kJson;
    body_.reserve(std::min(stated_length(headers), kMaxTrustedLength) + mcp::kBodyPadding);
  } else if (is_media_type(content_type_, mcp::kEventStream) && is_success(status)) {
    form_ = Form::kEvents;
  } else if (is_json_lines(content_type_) && is_success(status)) {
    form_ = Form::kLines;
  }
}

http::Flow Post::on_data(std::string_view bytes) {
  if (is_stream()) return feed_stream(bytes);
  if (form_ != Form::kJson) return discard(bytes);
  if (bytes.size() > max_body_bytes_ - body_.size()) {
    too_large_ = true;
    return http::Flow::kStop;
  }
  body_ += bytes;
  return http::Flow::kMore;
}

http::Flow Post::feed_stream(std::string_view bytes) {
  if (finished_ && discard(bytes) == http::Flow::kStop) return http::Flow::kStop;
  reader_is_slow_ = false;
  const Status fed = form_ == Form::kEvents
                         ? events_.feed(bytes, [this](mcp::SseEvent&& one) { event(std::move(one)); })
                         : lines_.feed(bytes, [this](std::string_view one) { message(mcp::padded_copy(one)); });
  too_large_ = !fed.ok();
  if (too_large_) return http::Flow::kStop;
  return reader_is_slow_ && !finished_ ? http::Flow::kWait : http::Flow::kMore;
}

void Post::on_done(const Status& status) {
  if (form_ == Form::kLines && status.ok() && !too_large_) {  // the last line may have no end
    static_cast<void>(lines_.feed("\n", [this](std::string_view one) { message(mcp::padded_copy(one)); }).ok());
  }
  if (!finished_) finish(conclude(status));
  if (hooks_.over) hooks_.over();
  hooks_ = {};
}

void Post::event(mcp::SseEvent&& event) {
  if (event.id) last_event_id_ = std::move(*event.id);
  if (event.retry_ms) retry_ms_ = event.retry_ms;
  message(std::move(event.data));
}

void Post::message(std::string text) {
  if (text.empty()) return;
  auto incoming = understand(reader_, text);
  using Kind = Incoming::Kind;
  if (incoming.kind == Kind::kAnswer && incoming.id == id_ && !finished_) {
    finish(std::move(text));
    if (hooks_.lingers) hooks_.lingers();
  } else if ((incoming.kind == Kind::kProgress || incoming.kind == Kind::kNotice) && hooks_.notice && !finished_) {
    reader_is_slow_ = !hooks_.notice(std::move(text)) || reader_is_slow_;
  } else if (incoming.kind == Kind::kQuestion && hooks_.question && !finished_) {
    hooks_.question(std::move(incoming), std::move(text));
  } else if (hooks_.message) {
    hooks_.message(std::move(incoming), std::move(text));
  }
}

http::Flow Post::discard(std::string_view bytes) {
  discarded_ += bytes.size();
  return discarded_ <= kMaxDiscardedBytes ? http::Flow::kMore : http::Flow::kStop;
}

void Post::finish(Result<std::string> answer) {
  finished_ = true;
  const auto result = std::exchange(hooks_.result, nullptr);
  const bool broke_off = is_stream() && !answer.ok() && !too_large_;
  result({std::move(answer), http_status_, std::move(session_id_), broke_off, std::move(last_event_id_), retry_ms_});
}

Result<std::string> Post::conclude(const Status& status) {
  if (too_large_) return Error{Code::kTooLarge, 0, "the upstream's answer is over the limit"};
  if (http_status_ == 0 && !status.ok()) return status.error();
  if (!id_) {
    if (is_success(http_status_)) return std::string();
    return no_answer("notification refused");
  }
  // A body that we gave up reading ends as cancelled by us: what it was decides, not that.
  if (form_ != Form::kOther && !status.ok()) return status.error();
  if (is_stream()) return no_answer("the stream ended without an answer");
  if (form_ != Form::kJson) return no_answer("not a content type of MCP");
  const auto incoming = understand(reader_, body_);
  if (incoming.kind == Incoming::Kind::kAnswer && incoming.id == id_) return std::move(body_);
  return no_answer(incoming.kind == Incoming::Kind::kNoise ? "not a JSON-RPC message"
                                                           : "not the answer to this request");
}

Error Post::no_answer(std::string_view why) const {
  log::warn("upstream gave no answer name={} http_status={} content_type={} reason=\"{}\"", upstream_, http_status_,
            log::printable(content_type_, 80), why);
  return Error{Code::kUpstream, 0, "the upstream answered with something that is no answer"};
}

}  // namespace ringside::worker
