#include "examples/demo_server/call.h"

#include <utility>

#include "mcp/envelope.h"

namespace ringside::demo {

using nlohmann::json;

Call::Call(std::string id, json progress_token, std::shared_ptr<Reply> reply)
    : id_(std::move(id)), progress_token_(std::move(progress_token)), reply_(std::move(reply)) {}

std::shared_ptr<Reply> Call::take_reply() {
  const std::lock_guard lock(mutex_);
  return std::move(reply_);
}

void Call::finish(const std::string& text, bool is_error) {
  json result = {{"content", json::array({{{"type", "text"}, {"text", text}}})}};
  if (is_error) result["isError"] = true;
  finish_with(result);
}

void Call::finish_with(const json& result) {
  if (const auto reply = take_reply()) reply->answer(mcp::result_body(id_, result.dump()));
}

void Call::fail(int code, const std::string& message) {
  if (const auto reply = take_reply()) reply->answer(mcp::error_body(id_, code, message));
}

void Call::progress(int done, int total) {
  if (progress_token_.is_null()) return;
  const json message = {{"jsonrpc", "2.0"},
                        {"method", "notifications/progress"},
                        {"params", {{"progressToken", progress_token_}, {"progress", done}, {"total", total}}}};
  const std::lock_guard lock(mutex_);
  if (reply_ != nullptr) reply_->notify(message.dump());
}

void Call::cancel() { (void)take_reply(); }

bool Call::over() const {
  const std::lock_guard lock(mutex_);
  return reply_ == nullptr;
}

}  // namespace ringside::demo
