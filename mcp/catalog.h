#pragma once
// Merging what several upstreams list under names that are unique. Pure; raw JSON objects go in and come out unchanged
// but for a name that had to change.

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace ringside::mcp {

/// One upstream's tools, as its tools/list answered: raw JSON objects.
struct UpstreamTools {
  std::string upstream;
  std::vector<std::string> tools;
};

struct ToolRoute {
  std::size_t upstream = 0;  ///< index into the list given to merge_tools
  std::string name;          ///< the upstream's own name of it
  bool repeatable = false;   ///< its annotations say readOnlyHint or idempotentHint
};

/// The merged list, immutable once made.
struct ToolCatalog {
  std::string tools_array;                            ///< raw `[…]` for the answer to tools/list
  std::unordered_map<std::string, ToolRoute> routes;  ///< by the name that clients see
  std::vector<std::string> dropped;  ///< "upstream/tool": no unique name could be made; "upstream/(no name)"
};

/// Unique names stay as they are; colliding ones become `<upstream>-<tool>`, all of them. If such a name collides
/// again, the plain one becomes prefixed too; two prefixed ones that are equal: the first upstream keeps it, the other
/// is dropped. A tool that one upstream lists twice counts once: its first.
[[nodiscard]] ToolCatalog merge_tools(const std::vector<UpstreamTools>& lists);

}  // namespace ringside::mcp
