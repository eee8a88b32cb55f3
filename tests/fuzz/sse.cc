// A stream from an upstream: however its bytes are split, its events, its lines and its end are the same; and what we
// write, we read.

#include <string>
#include <vector>

#include "base/check.h"
#include "mcp/sse.h"
#include "tests/fuzz/input.h"

namespace ringside::fuzz {
namespace {

struct Read {
  std::vector<std::string> items;
  bool whole = true;
  bool operator==(const Read&) const = default;
};

std::string name_of(const mcp::SseEvent& event) {
  return event.event + '\x1F' + event.data + '\x1F' + event.id.value_or("\x1E") + '\x1F' +
         std::to_string(event.retry_ms.value_or(-1));
}

/// Feeds `text` in the pieces that `next` says.
template <typename Parser, typename Sink, typename Next>
bool feed(Parser& parser, std::string_view text, const Sink& sink, Next&& next) {
  while (!text.empty()) {
    const std::size_t piece = std::min(text.size(), std::max<std::size_t>(next(), 1));
    if (!parser.feed(text.substr(0, piece), sink).ok()) return false;
    text.remove_prefix(piece);
  }
  return true;
}

template <typename Next>
Read events_of(std::string_view text, std::size_t limit, Next&& next) {
  Read read;
  mcp::SseParser parser(limit);
  const auto sink = [&](mcp::SseEvent&& event) {
    RS_CHECK(event.data.size() <= limit + 1, "an event keeps to the limit");
    read.items.push_back(name_of(event));
  };
  read.whole = feed(parser, text, sink, next);
  return read;
}

template <typename Next>
Read lines_of(std::string_view text, std::size_t limit, Next&& next) {
  Read read;
  mcp::LineSplitter splitter(limit);
  const auto sink = [&](std::string_view line) {
    RS_CHECK(line.size() <= limit, "a line keeps to the limit");
    read.items.emplace_back(line);
  };
  read.whole = feed(splitter, text, sink, next);
  return read;
}

void write_and_read(std::string_view data, std::string_view event, std::string_view id) {
  const std::string written = mcp::format_sse(data, event, id);
  std::size_t events = 0;
  mcp::SseParser parser(2 * written.size() + 16);
  const Status fed = parser.feed(written, [&](mcp::SseEvent&& read) {
    ++events;
    if (data.find_first_of("\r") == std::string_view::npos) RS_CHECK(read.data == data, "data comes back");
    if (read.id) RS_CHECK(*read.id == id, "an id that is written is the one that was given");
    if (!read.event.empty()) RS_CHECK(read.event == event, "and so is a name");
  });
  RS_CHECK(fed.ok() && events == 1, "one event is one event");
}

}  // namespace
}  // namespace ringside::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ringside;
  fuzz::Input input(data, size);
  const std::size_t limit = input.flip() ? 1000 : input.number<std::uint8_t>();
  std::array<std::uint8_t, 8> pieces{};
  for (auto& piece : pieces) piece = input.number<std::uint8_t>() % 24;
  const std::string_view text = input.all();
  std::size_t at = 0;
  const auto split = [&] { return std::size_t{pieces.at(at++ % pieces.size())}; };
  const auto at_once = [&] { return text.size(); };
  RS_CHECK(fuzz::events_of(text, limit, at_once) == fuzz::events_of(text, limit, split), "a split changes no event");
  RS_CHECK(fuzz::lines_of(text, limit, at_once) == fuzz::lines_of(text, limit, split), "a split changes no line");
  const std::size_t third = text.size() / 3;
  fuzz::write_and_read(text.substr(2 * third), text.substr(0, third), text.substr(third, third));
  return 0;
}
