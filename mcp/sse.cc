#include "mcp/sse.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace ringside::mcp {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr Error kEventTooLong{Code::kTooLarge, 0, "an event of a stream is longer than the limit"};
constexpr Error kLineTooLong{Code::kTooLarge, 0, "a line of a stream is longer than the limit"};

/// Milliseconds from a field of ASCII digits, INT_MAX at most; nothing when it is not one.
std::optional<int> retry_of(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.starts_with('-') || end != text.data() + text.size() || error == std::errc::invalid_argument)
    return std::nullopt;
  return error == std::errc::result_out_of_range ? std::numeric_limits<int>::max() : value;
}

bool is_one_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

Status SseParser::feed(std::string_view bytes, const std::function<void(SseEvent&&)>& sink) {
  if (is_done_) return kEventTooLong;
  if (after_cr_ && !bytes.empty()) {
    if (bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
  }
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    const std::string_view part = bytes.substr(0, end);
    if (held_bytes() + part.size() > max_event_bytes_) {
      is_done_ = true;
      line_ = {};
      event_ = {};
      return kEventTooLong;
    }
    if (end == bytes.size()) {
      line_.append(part);
      return {};
    }
    if (line_.empty()) {
      line(part, sink);
    } else {
      line_.append(part);
      line(line_, sink);
      line_.clear();
    }
    const bool carriage_return = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    after_cr_ = carriage_return && bytes.empty();
    if (carriage_return && bytes.starts_with('\n')) bytes.remove_prefix(1);
  }
  return {};
}

std::size_t SseParser::held_bytes() const {
  return line_.size() + event_.data.size() + event_.event.size() + (event_.id ? event_.id->size() : 0);
}

void SseParser::line(std::string_view text, const std::function<void(SseEvent&&)>& sink) {
  if (at_start_ && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  at_start_ = false;
  if (text.empty()) {
    if (has_any_) sink(std::move(event_));
    event_ = {};
    has_data_ = has_any_ = false;
    return;
  }
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view field = text.substr(0, colon);
  std::string_view value = text.substr(std::min(colon + 1, text.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) event_.data.push_back('\n');
    event_.data.append(value);
    has_data_ = has_any_ = true;
  } else if (field == "event") {
    event_.event = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    event_.id = value;
    has_any_ = true;
  } else if (field == "retry") {
    if (const auto retry = retry_of(value)) {
      event_.retry_ms = retry;
      has_any_ = true;
    }
  }
}

std::string format_sse(std::string_view data, std::string_view event, std::string_view id) {
  std::string out;
  out.reserve(data.size() + event.size() + id.size() + 32);
  if (!event.empty() && is_one_line(event)) out.append("event: ").append(event).append("\n");
  if (!id.empty() && is_one_line(id)) out.append("id: ").append(id).append("\n");
  while (true) {
    const std::size_t end = std::min(data.find_first_of("\r\n"), data.size());
    out.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == data.size()) break;
    data.remove_prefix(data.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
  return out.append("\n");
}

Status LineSplitter::feed(std::string_view bytes, const std::function<void(std::string_view)>& sink) {
  if (is_done_) return kLineTooLong;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    const std::string_view part = bytes.substr(0, end);
    // One byte over may be the CR of the line's end.
    const bool ends_with_cr = part.empty() ? rest_.ends_with('\r') : part.ends_with('\r');
    if (rest_.size() + part.size() - (ends_with_cr ? 1 : 0) > max_line_bytes_) {
      is_done_ = true;
      rest_ = {};
      return kLineTooLong;
    }
    if (end == bytes.size()) {
      rest_.append(part);
      return {};
    }
    std::string_view whole = part;
    if (!rest_.empty()) whole = rest_.append(part);
    if (ends_with_cr) whole.remove_suffix(1);
    sink(whole);
    rest_.clear();
    bytes.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace ringside::mcp
