#include "worker/runtime/rewrite.h"

#include <algorithm>

#include "mcp/json_scan.h"

namespace ringside::worker {

void replace_span(std::string& body, std::size_t at, std::size_t size, std::string_view text) {
  constexpr std::size_t kLarge = 64UL * 1024;
  if (body.size() < kLarge || text.size() > size) {
    body.replace(at, size, text);
    return;
  }
  text.copy(body.data() + at, text.size());
  std::fill_n(body.data() + at + text.size(), size - text.size(), ' ');
}

Edit edit_of(const std::string& body, std::string_view span, std::string_view text) {
  if (span.empty()) return {};
  return {static_cast<std::size_t>(span.data() - body.data()), span.size(), text};
}

void rewrite(std::string& body, std::array<Edit, 3> edits) {
  // The last one goes first, so that the others stay where they are.
  std::sort(edits.begin(), edits.end(), [](const Edit& a, const Edit& b) { return a.at > b.at; });
  for (const Edit& edit : edits) {
    if (edit.size != 0) replace_span(body, edit.at, edit.size, edit.text);
  }
}

Result<std::string_view> progress_token(const mcp::EnvelopeReader& reader) {
  const auto meta = RS_TRY(reader.param("_meta"));
  if (!meta || !meta->starts_with('{')) return std::string_view();
  return RS_TRY(mcp::sole_member(*meta, "progressToken")).value_or(std::string_view());
}

void restore_token(std::string& message, std::string_view ours, std::string_view callers) {
  const auto method = mcp::member(message, "method");
  const auto name = method ? mcp::decode_string(*method) : std::nullopt;
  if (!name || *name != "notifications/progress") return;
  const auto params = mcp::member(message, "params");
  const auto token = params ? mcp::member(*params, "progressToken") : std::nullopt;
  if (!token || *token != ours) return;
  message.replace(static_cast<std::size_t>(token->data() - message.data()), token->size(), callers);
}

}  // namespace ringside::worker
