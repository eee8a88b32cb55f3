#pragma once
// A GET stream of a Streamable HTTP server: what it says of its own accord. Everything but start-up happens on the HTTP
// client's thread.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "http/client.h"
#include "mcp/envelope.h"
#include "mcp/sse.h"
#include "worker/upstream/conversation.h"

namespace ringside::worker {

/// How a stream ended.
struct StreamEnd {
  int http_status = 0;        ///< 0: no head came
  bool was_open = false;      ///< an event stream came
  std::string last_event_id;  ///< empty: none was given
  std::optional<int> retry_ms = {};
};

class EventStream final : public http::Exchange {
 public:
  struct Hooks {
    std::function<void()> opened;
    std::function<void(Incoming, std::string)> message;
    std::function<void(StreamEnd)> over;  ///< exactly once, last of all
  };

  /// `reader` belongs to the HTTP client's thread.
  EventStream(std::size_t max_event_bytes, mcp::EnvelopeReader& reader, Hooks hooks)
      : reader_(reader), hooks_(std::move(hooks)), events_(max_event_bytes) {}

  void on_head(int status, const mcp::Headers& headers) override;
  http::Flow on_data(std::string_view bytes) override;
  void on_done(const Status& status) override;

 private:
  void event(mcp::SseEvent&& event);

  mcp::EnvelopeReader& reader_;
  Hooks hooks_;
  mcp::SseParser events_;
  StreamEnd end_;
};

}  // namespace ringside::worker
