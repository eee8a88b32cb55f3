#pragma once
// Incremental readers of what an upstream streams. Bytes may be split anywhere. Memory is bounded by the limit given.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ringside::mcp {

/// One event of a text/event-stream (WHATWG HTML, 9.2.6). `data` lines are joined by '\n'.
struct SseEvent {
  std::string event;  ///< empty: "message"
  std::string data;
  std::optional<std::string> id;  ///< set when the event stated one
  std::optional<int> retry_ms;
};

/// LF, CR and CRLF end lines; a leading BOM is skipped; comments are dropped; an event is given out at its empty line,
/// also when it states only an id or retry (data is empty then). One thread at a time.
class SseParser {
 public:
  explicit SseParser(std::size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}
  /// Calls `sink` for each event that is complete. kTooLarge once an event, or a line of it, is longer than the
  /// limit, wherever the bytes were split; the parser is done then.
  Status feed(std::string_view bytes, const std::function<void(SseEvent&&)>& sink);

 private:
  void line(std::string_view text, const std::function<void(SseEvent&&)>& sink);
  [[nodiscard]] std::size_t held_bytes() const;

  std::size_t max_event_bytes_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false;
  bool has_any_ = false;
  bool after_cr_ = false;
  bool at_start_ = true;
  bool is_done_ = false;
};

/// The media type of what format_sse makes.
inline constexpr std::string_view kEventStream = "text/event-stream";

/// `data: …` lines (one per line of `data`), an optional id and event name, and the closing empty line. An id or a name
/// that holds a line's end or a zero byte could forge a field, so it is left out.
[[nodiscard]] std::string format_sse(std::string_view data, std::string_view event = {}, std::string_view id = {});

/// Splits a byte stream into lines at LF (a CR before it is dropped). One thread at a time.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t max_line_bytes) : max_line_bytes_(max_line_bytes) {}
  /// Calls `sink` for each line without its end. kTooLarge once a line is longer than the limit; the splitter is done
  /// then.
  Status feed(std::string_view bytes, const std::function<void(std::string_view)>& sink);

 private:
  std::size_t max_line_bytes_;
  std::string rest_;
  bool is_done_ = false;
};

}  // namespace ringside::mcp
