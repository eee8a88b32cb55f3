#include "mcp/repeat.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace ringside::mcp {
namespace {

// initialize opens a session under an id of its own; the rest reads.
constexpr std::array<std::string_view, 9> kSafe = {
    "ping",           "initialize",   "tools/list",  "resources/list",     "resources/templates/list",
    "resources/read", "prompts/list", "prompts/get", "completion/complete"};

}  // namespace

Repeat repeat_of(const Envelope& envelope) {
  if (envelope.kind != Envelope::Kind::kRequest) return Repeat::kNever;
  if (envelope.method == "tools/call") return Repeat::kAsksTheTool;
  return std::find(kSafe.begin(), kSafe.end(), envelope.method) != kSafe.end() ? Repeat::kSafe : Repeat::kNever;
}

}  // namespace ringside::mcp
