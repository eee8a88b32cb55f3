#pragma once
// One POST to a Streamable HTTP server and what comes back: a JSON body, an event stream or JSON lines that hold the
// answer somewhere, an error with a JSON-RPC body, or nothing but a status. Everything but start-up happens on the HTTP
// client's thread.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "http/client.h"
#include "mcp/envelope.h"
#include "mcp/sse.h"
#include "worker/upstream/conversation.h"

namespace ringside::worker {

struct PostResult {
  /// The answer's bytes, or why there is none. For a notification: an empty string once it was accepted.
  Result<std::string> answer = Error{};
  int http_status = 0;          ///< 0: no head came
  std::string session_id;       ///< the mcp-session-id header
  bool broke_off = false;       ///< an event stream came, and no answer in it
  std::string last_event_id;    ///< of such a stream; empty: none, so that it cannot be resumed
  std::optional<int> retry_ms;  ///< how long the server wants a client to wait first
};

/// Whether a content-type names this media type, in any case and with any parameters.
[[nodiscard]] bool is_media_type(std::string_view content_type, std::string_view type);

class Post final : public http::Exchange {
 public:
  struct Hooks {
    std::function<void(PostResult)> result;  ///< exactly once
    /// A notification before the result, which is the caller's; false as UpstreamRequest::on_message. May be null.
    std::function<bool(std::string)> notice;
    std::function<void(Incoming, std::string)> question;  ///< a question before the result. May be null.
    std::function<void(Incoming, std::string)> message;   ///< other messages of the stream, before or after the result
    std::function<void()> lingers;                        ///< the answer came; the stream goes on
    std::function<void()> over;                           ///< the exchange is over; last of all
  };

  /// `id`: the answer to wait for; none for a notification. `reader` belongs to the HTTP client's thread.
  Post(std::string_view upstream, std::optional<std::uint64_t> id, std::size_t max_body_bytes,
       mcp::EnvelopeReader& reader, Hooks hooks);

  void on_head(int status, const mcp::Headers& headers) override;
  http::Flow on_data(std::string_view bytes) override;
  void on_done(const Status& status) override;

 private:
  enum class Form { kNone, kJson, kEvents, kLines, kOther };

  void event(mcp::SseEvent&& event);
  void message(std::string text);
  http::Flow feed_stream(std::string_view bytes);
  [[nodiscard]] bool is_stream() const { return form_ == Form::kEvents || form_ == Form::kLines; }
  http::Flow discard(std::string_view bytes);
  void finish(Result<std::string> answer);
  [[nodiscard]] Result<std::string> conclude(const Status& status);
  [[nodiscard]] Error no_answer(std::string_view why) const;

  std::string upstream_;
  std::optional<std::uint64_t> id_;
  std::size_t max_body_bytes_;
  mcp::EnvelopeReader& reader_;
  Hooks hooks_;
  Form form_ = Form::kNone;
  int http_status_ = 0;
  std::string session_id_;
  std::string last_event_id_;
  std::optional<int> retry_ms_;
  std::string content_type_;
  std::string body_;
  mcp::SseParser events_;
  mcp::LineSplitter lines_;
  std::size_t discarded_ = 0;
  bool too_large_ = false;
  bool reader_is_slow_ = false;
  bool finished_ = false;
};

}  // namespace ringside::worker
