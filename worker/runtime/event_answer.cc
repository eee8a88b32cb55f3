#include "worker/runtime/event_answer.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "mcp/sse.h"
#include "rpc/errors.h"

namespace ringside::worker {

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

EventAnswer::EventAnswer(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, std::string raw_id,
                         std::size_t max_bytes)
    : call_(std::move(call)), ledger_(std::move(ledger)), raw_id_(std::move(raw_id)), max_bytes_(max_bytes) {}

bool EventAnswer::message(std::string_view json) {
  const Written written = write(json);
  if (written == Written::kCut) call_->cancel();
  return written != Written::kSlow;
}

Written EventAnswer::write(std::string_view json) {
  // Held while the piece is written: the answer must come behind it.
  const std::lock_guard lock(mutex_);
  if (over_) return Written::kMore;
  if (call_->streams()) {
    if (!begun_) {
      auto head = event_stream_head();
      ledger_->sign(*call_, head);
      begun_ = call_->begin(std::move(head));
    }
    return begun_ ? call_->write(mcp::format_sse(json)) : Written::kMore;
  }
  begun_ = true;
  too_large_ = too_large_ || json.size() > max_bytes_ - std::min(max_bytes_, text_.size());
  if (!too_large_) text_ += mcp::format_sse(json);
  return Written::kMore;
}

void EventAnswer::answer(mcp::Response response) {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(over_, true)) return;
  }
  if (!begun_) return ledger_->answer(call_, std::move(response));
  const std::string last = mcp::format_sse(response.body);
  if (call_->streams()) {
    call_->write(last);
    return ledger_->end(call_);
  }
  if (too_large_ || last.size() > max_bytes_ - std::min(max_bytes_, text_.size())) {
    return ledger_->answer(call_, rpc::backend_down(raw_id_, "upstream's answer is too large", rpc::Origin::kUpstream));
  }
  mcp::Response whole = event_stream_head();
  whole.body = std::move(text_) + last;
  ledger_->answer(call_, std::move(whole));
}

}  // namespace ringside::worker
