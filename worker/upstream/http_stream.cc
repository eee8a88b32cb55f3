#include "worker/upstream/http_stream.h"

#include <utility>

#include "worker/upstream/http_post.h"

namespace ringside::worker {

void EventStream::on_head(int status, const mcp::Headers& headers) {
  end_.http_status = status;
  end_.was_open = status == 200 && is_media_type(headers.get("content-type"), mcp::kEventStream);
  if (end_.was_open) hooks_.opened();
}

http::Flow EventStream::on_data(std::string_view bytes) {
  if (!end_.was_open) return http::Flow::kStop;
  const auto fed = events_.feed(bytes, [this](mcp::SseEvent&& one) { event(std::move(one)); });
  return fed.ok() ? http::Flow::kMore : http::Flow::kStop;
}

void EventStream::on_done(const Status& /*status*/) {
  auto hooks = std::exchange(hooks_, {});
  hooks.over(std::move(end_));
}

void EventStream::event(mcp::SseEvent&& event) {
  if (event.id) end_.last_event_id = std::move(*event.id);
  if (event.retry_ms) end_.retry_ms = event.retry_ms;
  if (event.data.empty()) return;
  auto incoming = understand(reader_, event.data);
  hooks_.message(std::move(incoming), std::move(event.data));
}

}  // namespace ringside::worker
