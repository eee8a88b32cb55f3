#pragma once
// The answer of a call whose caller takes server-sent events: plain JSON as long as nothing comes before it, else what
// comes, event by event. Through a door that has no streams (a unary gRPC call whose accept header names them, say) the
// answer is the whole stream's text.

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "worker/runtime/call.h"
#include "worker/runtime/ledger.h"

namespace ringside::worker {

/// True when the caller's door streams, or its accept header names text/event-stream.
[[nodiscard]] bool takes_events(Call& call);
/// 200 and the headers of an event stream.
[[nodiscard]] mcp::Response event_stream_head();

/// Thread-safe. `raw_id` is the request's.
class EventAnswer {
 public:
  EventAnswer(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, std::string raw_id, std::size_t max_bytes);

  /// A message that comes before the answer; nothing once that has come. False: the caller is slow, see
  /// UpstreamRequest::on_message.
  bool message(std::string_view json);
  /// The answer itself, once.
  void answer(mcp::Response response);

 private:
  [[nodiscard]] Written write(std::string_view json);

  const std::shared_ptr<Call> call_;
  const std::shared_ptr<Ledger> ledger_;
  const std::string raw_id_;
  const std::size_t max_bytes_;
  std::mutex mutex_;
  bool begun_ = false;
  bool over_ = false;
  bool too_large_ = false;
  std::string text_;  // for a door without streams
};

}  // namespace ringside::worker
