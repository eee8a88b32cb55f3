#include "worker/upstream/conversation.h"

#include <bit>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "mcp/session.h"

namespace ringside::worker {
namespace {

std::optional<std::uint64_t> number(std::string_view raw) {
  std::uint64_t value = 0;
  const auto [end, fault] = std::from_chars(raw.data(), raw.data() + raw.size(), value);
  if (fault != std::errc() || end != raw.data() + raw.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string initialize_request(std::string_view client_version) {
  std::string text = R"({"jsonrpc":"2.0","id":)" + std::to_string(kInitializeId);
  text += R"(,"method":"initialize","params":{"protocolVersion":")";
  text += mcp::kProtocolVersions[0];
  text += R"(","capabilities":{},"clientInfo":{"name":"ringside","version":)";
  text += mcp::encode_string(client_version);
  text += "}}}";
  return text;
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
      return {Incoming::Kind::kAnswer, number(envelope.id), {}};
    case mcp::Envelope::Kind::kNotification:
      if (envelope.method == "notifications/tools/list_changed") return {Incoming::Kind::kToolsChanged, {}, {}};
      if (envelope.method != "notifications/progress") return {Incoming::Kind::kNotice, {}, {}};
      if (const auto token = reader.param("progressToken"); token.ok() && *token) {
        return {Incoming::Kind::kProgress, number(**token), {}};
      }
      return {Incoming::Kind::kNotice, {}, {}};
    case mcp::Envelope::Kind::kRequest:
      break;
  }
  auto reply = envelope.method == "ping" ? mcp::result_body(envelope.id, "{}")
                                         : mcp::error_body(envelope.id, mcp::kMethodNotFoundCode, "Method not found");
  return {Incoming::Kind::kQuestion, std::nullopt, std::move(reply)};
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
