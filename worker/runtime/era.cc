#include "worker/runtime/era.h"

#include <utility>

#include "mcp/session.h"
#include "rpc/errors.h"
#include "worker/runtime/front.h"

namespace ringside::worker {
namespace {

/// A client's facts are kept with its session.
constexpr std::size_t kMostClientBytes = 64UL * 1024;
// 2026-07-28, schema, UnsupportedProtocolVersionError and RequestMetaObject.
constexpr int kUnsupportedVersionCode = -32022;
constexpr std::string_view kVersionKey = "io.modelcontextprotocol/protocolVersion";

mcp::Response unsupported(std::string_view raw_id, std::string_view requested) {
  std::string data = R"({"requested":)" + mcp::encode_string(brief(requested)) + R"(,"supported":[)";
  for (const std::string_view version : mcp::kProtocolVersions) {
    if (!data.ends_with('[')) data += ',';
    data += mcp::encode_string(version);
  }
  mcp::Response response;
  response.status = 400;
  response.headers.set("content-type", "application/json");
  response.body = mcp::error_body(raw_id, kUnsupportedVersionCode, "Unsupported protocol version", data + "]}");
  return response;
}

}  // namespace

mcp::Response bad_params(std::string_view raw_id, std::string_view message) {
  return rpc::jsonrpc_error(200, raw_id, mcp::kInvalidParamsCode, message);
}

std::optional<mcp::Response> read_initialize(const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                                             Initialize& asked) {
  const auto invalid = [&] { return bad_params(envelope.id, "Invalid params"); };
  asked.raw_id = envelope.id;
  if (!envelope.params.empty() && envelope.params.front() != '{') return invalid();
  const auto version = reader.param("protocolVersion");
  if (!version) return invalid();
  if (!*version) return bad_params(envelope.id, "Missing protocolVersion");
  auto decoded = mcp::decode_string(**version);
  if (!decoded) return invalid();
  if (!mcp::is_well_formed_version(*decoded)) {
    return bad_params(envelope.id, "Unsupported protocolVersion: " + std::string(brief(*decoded)));
  }
  asked.client = "{";
  for (const std::string_view key : {"capabilities", "clientInfo"}) {
    const auto value = reader.param(key);
    if (!value || (*value && !(*value)->starts_with('{'))) return invalid();
    if (asked.client.size() > 1) asked.client += ',';
    asked.client.append("\"").append(key).append("\":").append(value->value_or("{}"));
  }
  asked.client += "}";
  if (asked.client.size() > kMostClientBytes) return invalid();
  for (const std::string_view key : {"session_id", "sessionId"}) {
    const auto value = reader.param(key);
    if (!value) return invalid();
    if (!*value || !asked.session_id.empty()) continue;
    auto id = mcp::decode_string(**value);
    if (!id) return invalid();
    asked.session_id = std::move(*id);
  }
  asked.protocol_version =
      mcp::is_supported_version(*decoded) ? std::move(*decoded) : std::string(mcp::kProtocolVersions[0]);
  return std::nullopt;
}

mcp::Response initialized(const Initialize& asked, const Introduction& introduction, std::string_view our_version) {
  std::string result = R"({"protocolVersion":)" + mcp::encode_string(asked.protocol_version) + R"(,"capabilities":)" +
                       introduction.capabilities + R"(,"serverInfo":{"name":"ringside","version":)" +
                       mcp::encode_string(our_version) + "}";
  if (!introduction.instructions.empty()) result += R"(,"instructions":)" + introduction.instructions;
  mcp::Response response;
  response.headers.set("content-type", "application/json");
  response.body = mcp::result_body(asked.raw_id, result + "}");
  return response;
}

std::optional<mcp::Response> refuse_other_era(const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader) {
  std::string_view raw;
  if (const auto meta = reader.param("_meta"); meta.ok() && *meta) {
    raw = mcp::member(**meta, kVersionKey).value_or("");
  }
  if (raw.empty() && envelope.method != "server/discover") return std::nullopt;
  const std::string requested = mcp::decode_string(raw).value_or("");
  if (mcp::is_supported_version(requested) && envelope.method != "server/discover") return std::nullopt;
  return unsupported(envelope.id, requested);
}

}  // namespace ringside::worker
