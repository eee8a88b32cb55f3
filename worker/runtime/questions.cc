#include "worker/runtime/questions.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "mcp/envelope.h"

namespace ringside::worker {
namespace {

std::string id_prefix(std::uint64_t seed) {
  std::string text = "\"q-";
  for (unsigned shift = 0; shift < 32; shift += 8) append_hex(text, static_cast<unsigned char>(seed >> shift));
  return text + "-";
}

/// `span` is a view into `message`.
void put(std::string& message, std::string_view span, std::string_view text) {
  message.replace(static_cast<std::size_t>(span.data() - message.data()), span.size(), text);
}

}  // namespace

bool can_be_asked(std::string_view capabilities, std::string_view method) {
  if (method == "ping") return true;
  static constexpr std::array<std::string_view, 4> kAsked = {"sampling", "elicitation", "roots", "tasks"};
  return std::any_of(kAsked.begin(), kAsked.end(), [&](std::string_view each) {
    return method.starts_with(each) && method.substr(each.size()).starts_with('/') &&
           mcp::member(capabilities, each).has_value();
  });
}

Questions::Questions(std::uint64_t seed) : prefix_(id_prefix(seed)) {}

std::string Questions::ask(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question) {
  std::string message = std::move(question.message);
  Open open{{}, upstream, persona, std::move(question.raw_id), {}};
  {
    const std::lock_guard lock(mutex_);
    open.ours = prefix_ + std::to_string(next_++) + "\"";
  }
  if (const auto id = mcp::member(message, "id")) put(message, *id, open.ours);
  const auto params = mcp::member(message, "params");
  const auto meta = params ? mcp::member(*params, "_meta") : std::nullopt;
  if (const auto token = meta ? mcp::member(*meta, "progressToken") : std::nullopt) {
    open.raw_token = *token;
    put(message, *token, open.ours);
  }
  const std::lock_guard lock(mutex_);
  std::deque<Open>& asked = sessions_[persona->session];
  if (asked.size() >= kMostOpen) asked.pop_front();
  asked.push_back(std::move(open));
  return message;
}

std::deque<Questions::Open>::iterator Questions::find(std::deque<Open>& asked, std::string_view ours) {
  return std::find_if(asked.begin(), asked.end(), [&](const Open& each) { return each.ours == ours; });
}

std::optional<Questions::Asker> Questions::answer(const std::string& session, std::string_view raw_id,
                                                  std::string message) {
  Open open;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return std::nullopt;
    const auto at = find(found->second, raw_id);
    if (at == found->second.end()) return std::nullopt;
    open = std::move(*at);
    found->second.erase(at);
    if (found->second.empty()) sessions_.erase(found);
  }
  if (const auto id = mcp::member(message, "id")) put(message, *id, open.raw_id);
  return Asker{open.upstream, std::move(open.persona), std::move(message)};
}

std::optional<Questions::Asker> Questions::progress(const std::string& session, std::string_view raw_token,
                                                    std::string message) {
  Asker asker;
  std::string token;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return std::nullopt;
    const auto at = find(found->second, raw_token);
    if (at == found->second.end() || at->raw_token.empty()) return std::nullopt;
    asker = {at->upstream, at->persona, {}};
    token = at->raw_token;
  }
  const auto params = mcp::member(message, "params");
  const auto ours = params ? mcp::member(*params, "progressToken") : std::nullopt;
  if (!ours) return std::nullopt;
  put(message, *ours, token);
  asker.message = std::move(message);
  return asker;
}

std::optional<std::string> Questions::take_back(std::size_t upstream, const std::string& session, std::string message) {
  const auto params = mcp::member(message, "params");
  const auto raw_id = params ? mcp::member(*params, "requestId") : std::nullopt;
  if (!raw_id) return std::nullopt;
  std::string ours;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return std::nullopt;
    std::deque<Open>& asked = found->second;
    const auto at = std::find_if(asked.begin(), asked.end(),
                                 [&](const Open& each) { return each.upstream == upstream && each.raw_id == *raw_id; });
    if (at == asked.end()) return std::nullopt;
    ours = std::move(at->ours);
    asked.erase(at);
    if (asked.empty()) sessions_.erase(found);
  }
  put(message, *raw_id, ours);
  return message;
}

void Questions::end_session(const std::string& session) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(session);
}

}  // namespace ringside::worker
