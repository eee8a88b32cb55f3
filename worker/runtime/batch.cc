#include "worker/runtime/batch.h"

#include <algorithm>
#include <utility>

#include "mcp/sse.h"
#include "rpc/errors.h"
#include "worker/runtime/front.h"
#include "worker/runtime/stream.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kTooLarge = "the batch's answers are too large";

}  // namespace

Result<std::vector<BatchPart>> read_batch(std::string_view raw_array, mcp::EnvelopeReader& reader,
                                          mcp::Envelope& envelope) {
  std::vector<std::string_view> raw;
  mcp::for_each_element(raw_array, [&](std::string_view each) {
    if (raw.size() <= Batch::kMostMessages) raw.push_back(each);
  });
  if (raw.empty()) return Error{Code::kInvalid, 0, "Invalid Request"};
  if (raw.size() > Batch::kMostMessages) return Error{Code::kInvalid, 0, "Too many messages in a batch"};
  std::vector<BatchPart> parts;
  for (const std::string_view each : raw) {
    BatchPart part{mcp::padded_copy(each), {}};
    const bool good = reader.read(part.body, envelope) == mcp::EnvelopeFault::kNone;
    if (good && envelope.kind == mcp::Envelope::Kind::kRequest) {
      if (envelope.method == "initialize") return Error{Code::kInvalid, 0, "Invalid Request"};
      part.raw_id = envelope.id;
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

/// One message, as a call that its batch has made.
class Batch::Part final : public Call {
 public:
  Part(std::shared_ptr<Batch> batch, Door door, mcp::Request request, std::string raw_id)
      : Call(door, std::move(request)), batch_(std::move(batch)), raw_id_(std::move(raw_id)) {}

  void give_room() { has_room(); }

 private:
  void deliver(mcp::Response response) override { batch_->answered(raw_id_, std::move(response)); }
  void deliver_head(mcp::Response /*head*/) override { batch_->begin(); }
  Written deliver_piece(std::string piece) override { return batch_->write(std::move(piece)); }
  void deliver_end() override { batch_->ended(); }

  const std::shared_ptr<Batch> batch_;
  const std::string raw_id_;
};

Batch::Batch(std::shared_ptr<Call> call, std::shared_ptr<Ledger> ledger, std::size_t max_bytes)
    : call_(std::move(call)), ledger_(std::move(ledger)), max_bytes_(max_bytes) {}

std::vector<std::shared_ptr<Call>> Batch::split(std::vector<BatchPart> parts) {
  left_ = parts.size();
  std::vector<std::shared_ptr<Call>> calls;
  std::vector<std::weak_ptr<Part>> known;
  mcp::Request& request = call_->request();
  request.body = {};
  for (BatchPart& part : parts) {
    asks_ = asks_ || !part.raw_id.empty();
    mcp::Request own = request;
    own.body = std::move(part.body);
    own.headers.set(kInBatchHeader, "1");
    const auto call = std::make_shared<Part>(shared_from_this(), call_->door(), std::move(own), std::move(part.raw_id));
    known.push_back(call);
    calls.push_back(call);
  }
  const auto each = [known = std::move(known)](void (*tell)(Part&)) {
    for (const auto& weak : known) {
      if (const auto part = weak.lock()) tell(*part);
    }
  };
  call_->on_room([each] { each([](Part& part) { part.give_room(); }); });
  call_->on_cancel([each] { each([](Part& part) { part.cancel(); }); });
  return calls;
}

Batch::Told Batch::as_told(const std::string& raw_id, mcp::Response response) {
  if (response.body.empty()) return {};
  if (response.headers.get("content-type").starts_with(mcp::kEventStream)) return {std::move(response.body), true};
  if (mcp::member(response.body, "jsonrpc")) return {std::move(response.body), false};
  // What HTTP would have said of this message alone.
  const auto detail = mcp::member(response.body, "detail");
  const std::string why = detail ? mcp::decode_string(*detail).value_or("") : "";
  return {mcp::error_body(raw_id, mcp::kBackendDownCode, why.empty() ? "the call was refused" : why), false};
}

void Batch::answered(const std::string& raw_id, mcp::Response response) {
  Told told = as_told(raw_id, std::move(response));
  bool last = false;
  {
    // Held while a piece is written: nobody else's may come into its middle.
    const std::lock_guard lock(mutex_);
    if (begun_) {
      if (!told.message.empty()) call_->write(told.is_events ? std::move(told.message) : mcp::format_sse(told.message));
    } else {
      if (told.message.size() > max_bytes_ - std::min(max_bytes_, bytes_)) {
        told = {mcp::error_body(raw_id, mcp::kBackendDownCode, kTooLarge), false};
      }
      bytes_ += told.message.size();
      told_.push_back(std::move(told));
    }
    last = --left_ == 0;
  }
  if (last) finish();
}

void Batch::begin() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(begun_, true)) return;
  mcp::Response head = event_stream_head();
  ledger_->sign(*call_, head);
  call_->begin(std::move(head));
  for (Told& each : std::exchange(told_, {})) {
    if (!each.message.empty()) call_->write(each.is_events ? std::move(each.message) : mcp::format_sse(each.message));
  }
}

Written Batch::write(std::string piece) {
  const std::lock_guard lock(mutex_);
  return call_->write(std::move(piece));
}

void Batch::ended() {
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    last = --left_ == 0;
  }
  if (last) finish();
}

void Batch::finish() {
  if (begun_) return ledger_->end(call_);
  ledger_->answer(call_, whole());
}

/// Nobody else is there any more.
mcp::Response Batch::whole() {
  std::erase_if(told_, [](const Told& each) { return each.message.empty(); });
  if (told_.empty()) return empty_response(202);
  const bool has_events = std::any_of(told_.begin(), told_.end(), [](const Told& each) { return each.is_events; });
  mcp::Response response;
  if (has_events) {
    response = event_stream_head();
    for (Told& each : told_) response.body += each.is_events ? std::move(each.message) : mcp::format_sse(each.message);
    return response;
  }
  // What asks nothing and is not taken is refused as it would be alone (2025-03-26, basic/transports).
  response.status = asks_ ? 200 : 400;
  response.headers.set("content-type", "application/json");
  for (const Told& each : told_) response.body.append(response.body.empty() ? "[" : ",").append(each.message);
  response.body += "]";
  return response;
}

}  // namespace ringside::worker
