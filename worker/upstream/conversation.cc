#include "worker/upstream/conversation.h"

#include <bit>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "mcp/session.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kEveryCapability = R"({"roots":{"listChanged":true},"sampling":{},"elicitation":{}})";

std::optional<std::uint64_t> number(std::string_view raw) {
  std::uint64_t value = 0;
  const auto [end, fault] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (fault != std::errc() || end != raw.data() + raw.size()) return std::nullopt;
  return value;
}

Incoming notification(const mcp::EnvelopeReader& reader, std::string method) {
  using Kind = Incoming::Kind;
  using List = UpstreamSink::List;
  constexpr std::pair<std::string_view, List> kLists[] = {
      {"notifications/tools/list_changed", List::kTools},
      {"notifications/prompts/list_changed", List::kPrompts},
      {"notifications/resources/list_changed", List::kResources},
  };
  for (const auto& [name, list] : kLists) {
    if (method == name) return {.kind = Kind::kListChanged, .method = std::move(method), .list = list};
  }
  if (method == "notifications/cancelled") return {.kind = Kind::kCancelled, .method = std::move(method)};
  if (method == "notifications/progress") {
    const auto token = reader.param("progressToken");
    const auto id = token.ok() && *token ? number(**token) : std::nullopt;
    return {.kind = Kind::kProgress, .id = id, .method = std::move(method)};
  }
  return {.kind = Kind::kNotice, .method = std::move(method)};
}

}  // namespace

std::string initialize_request(std::string_view client_version, const PersonaRef& persona) {
  std::string text = R"({"jsonrpc":"2.0","id":)" + std::to_string(kInitializeId);
  text += R"(,"method":"initialize","params":{"protocolVersion":)";
  text += mcp::encode_string(persona && !persona->version.empty() ? persona->version : mcp::kProtocolVersions[0]);
  text += R"(,"capabilities":)";
  text += !persona ? kEveryCapability : persona->capabilities.empty() ? "{}" : std::string_view(persona->capabilities);
  text += R"(,"clientInfo":)";
  if (persona && !persona->client_info.empty()) {
    text += persona->client_info;
  } else {
    text.append(R"({"name":"ringside","version":)").append(mcp::encode_string(client_version)).append("}");
  }
  return text += "}}";
}

std::string cancelled_notification(std::uint64_t id, std::string_view reason) {
  std::string text =
      R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":)" + std::to_string(id);
  text += R"(,"reason":")";
  text += reason;
  text += R"("}})";
  return text;
}

Incoming understand(mcp::EnvelopeReader& reader, const std::string& message) {
  mcp::Envelope envelope;
  if (reader.read(message, envelope) != mcp::EnvelopeFault::kNone) return {};
  switch (envelope.kind) {
    case mcp::Envelope::Kind::kResponse:
      return {.kind = Incoming::Kind::kAnswer, .id = number(envelope.id)};
    case mcp::Envelope::Kind::kNotification:
      return notification(reader, std::move(envelope.method));
    case mcp::Envelope::Kind::kRequest:
      break;
  }
  return {.kind = Incoming::Kind::kQuestion, .method = std::move(envelope.method), .raw_id = std::string(envelope.id)};
}

std::string refusal_of(const Incoming& question) {
  return question.method == "ping" ? mcp::result_body(question.raw_id, "{}")
                                   : mcp::error_body(question.raw_id, mcp::kMethodNotFoundCode, "Method not found");
}

void Announcer::attach(std::size_t index, std::shared_ptr<UpstreamSink> sink) {
  index_ = index;
  sink_ = std::move(sink);
}

void Announcer::tell(const PersonaRef& persona, Incoming incoming, std::string message) const {
  const bool is_list = incoming.kind == Incoming::Kind::kListChanged;
  if (is_list && incoming.list == UpstreamSink::List::kTools && tools_changed_) tools_changed_();
  if (!sink_) return;
  if (is_list) return sink_->list_changed(index_, persona, incoming.list);
  sink_->notice(index_, persona, std::move(incoming.method), std::move(message));
}

bool Announcer::ask(const PersonaRef& persona, UpstreamQuestion question) const {
  return sink_ && sink_->question(index_, persona, std::move(question));
}

void Announcer::reopened(const PersonaRef& persona) const {
  if (sink_) sink_->reopened(index_, persona);
}

void Announcer::introduce(std::string_view initialize_answer) {
  const auto result = mcp::member(initialize_answer, "result");
  if (!result) return;
  auto introduction = std::make_shared<const std::string>(*result);
  const std::lock_guard lock(mutex_);
  introduction_ = std::move(introduction);
}

std::shared_ptr<const std::string> Announcer::introduction() const {
  const std::lock_guard lock(mutex_);
  return introduction_;
}

Result<std::string> agreed_version(std::string_view upstream, std::string_view answer) {
  const auto result = mcp::member(answer, "result");
  if (!result) {
    log::warn("upstream refused initialize name={} error={}", upstream,
              log::printable(mcp::member(answer, "error").value_or("none")));
    return Error{Code::kUpstream, 0, "the upstream refused to initialize"};
  }
  const auto raw = mcp::member(*result, "protocolVersion");
  auto version = raw ? mcp::decode_string(*raw) : std::nullopt;
  if (!version || !mcp::is_supported_version(*version)) {
    log::warn("upstream speaks an unsupported protocol version name={} version={} supported={}", upstream,
              log::printable(raw.value_or("none"), 40), mcp::supported_versions());
    return Error{Code::kUpstream, 0, "the upstream speaks no protocol version of ours"};
  }
  return std::move(*version);
}

UpstreamDone Tally::counted(UpstreamDone done) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  return [this, began = system_clock().now(), done = std::move(done)](Result<std::string> response) {
    latency_.record(system_clock().now() - began);
    if (response.ok()) {
      ready();
    } else {
      failures_.fetch_add(1, std::memory_order_relaxed);
      // Not reached, or gone. Any other failure is that of one call.
      if (response.error().code == Code::kUnavailable) failed();
    }
    done(std::move(response));
  };
}

void Tally::dropped(std::string_view why, std::string_view shown) {
  const auto count = dropped_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!std::has_single_bit(count)) return;
  log::warn("upstream message dropped name={} reason=\"{}\" dropped_so_far={} shown=\"{}\"", name_, why, count,
            log::printable(shown));
}

UpstreamStatus Tally::status() const {
  return {name_,
          std::string(kind_),
          state_.load(),
          calls_.load(std::memory_order_relaxed),
          failures_.load(std::memory_order_relaxed),
          latency_.counts(),
          latency_.seconds()};
}

}  // namespace ringside::worker
