#include "client/cpp/repeat.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "mcp/envelope.h"

namespace ringside {
namespace {

constexpr std::array<std::string_view, 9> kRepeatable = {
    "ping",           "initialize",   "tools/list",  "resources/list",     "resources/templates/list",
    "resources/read", "prompts/list", "prompts/get", "completion/complete"};

}  // namespace

bool is_safe_to_repeat(const mcp::Request& request) {
  if (request.method == "DELETE") return true;
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  // What is no message at all is refused before anything runs.
  if (reader.read(request.body, envelope) != mcp::EnvelopeFault::kNone) return true;
  return envelope.kind == mcp::Envelope::Kind::kRequest &&
         std::find(kRepeatable.begin(), kRepeatable.end(), envelope.method) != kRepeatable.end();
}

mcp::Response outcome_unknown(const mcp::Request& request) {
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  (void)reader.read(request.body, envelope);
  mcp::Response response;
  response.status = 502;
  response.headers.set("content-type", "application/json");
  response.body = mcp::error_body(envelope.id, mcp::kOutcomeUnknownCode, "Outcome unknown", R"({"outcome":"unknown"})");
  return response;
}

}  // namespace ringside
