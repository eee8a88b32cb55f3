#include "mcp/catalog.h"

#include <optional>
#include <utility>

#include "mcp/envelope.h"
#include "mcp/json_scan.h"

namespace ringside::mcp {
namespace {

struct Tool {
  std::size_t upstream = 0;
  std::string name;  // the upstream's own
  std::string_view raw;
  std::string_view raw_name;
  std::string shown;  // what clients see
  bool is_prefixed = false;
};

/// The decoded name of a tool, and its raw value; nothing when there is no name, or more than one.
std::optional<std::pair<std::string, std::string_view>> name_of(std::string_view raw) {
  const auto value = sole_member(raw, "name");
  if (!value || !*value) return std::nullopt;
  auto name = decode_string(**value);
  if (!name || name->empty()) return std::nullopt;
  return std::pair(std::move(*name), **value);
}

/// The annotations are hints of the upstream, which we trust as its operator does.
bool is_repeatable(std::string_view raw) {
  const auto annotations = member(raw, "annotations");
  if (!annotations) return false;
  return member(*annotations, "readOnlyHint") == "true" || member(*annotations, "idempotentHint") == "true";
}

/// Every tool that has a name, each once for its upstream, in order.
std::vector<Tool> named_tools(const std::vector<UpstreamTools>& lists, std::vector<std::string>& dropped) {
  std::vector<Tool> tools;
  for (std::size_t upstream = 0; upstream < lists.size(); ++upstream) {
    std::unordered_map<std::string, bool> seen;
    for (const std::string& raw : lists[upstream].tools) {
      auto name = name_of(raw);
      if (!name) {
        dropped.push_back(lists[upstream].upstream + "/(no name)");
      } else if (!seen.emplace(name->first, true).second) {
        dropped.push_back(lists[upstream].upstream + "/" + name->first);
      } else {
        tools.push_back({upstream, name->first, raw, name->second, name->first, false});
      }
    }
  }
  return tools;
}

/// Prefixes what collides until nothing does but prefixed names. A tool moves at most once, and only the name that it
/// moves to is looked at again, so this takes as many steps as there are tools.
void resolve_collisions(const std::vector<UpstreamTools>& lists, std::vector<Tool>& tools) {
  std::unordered_map<std::string, std::vector<std::size_t>> by_name;
  for (std::size_t i = 0; i < tools.size(); ++i) by_name[tools[i].shown].push_back(i);
  std::vector<std::string> to_check;
  for (const auto& [name, owners] : by_name) {
    if (owners.size() > 1) to_check.push_back(name);
  }
  while (!to_check.empty()) {
    const std::string name = std::move(to_check.back());
    to_check.pop_back();
    std::vector<std::size_t> owners;
    owners.swap(by_name[name]);
    std::vector<std::size_t> staying;
    for (const std::size_t i : owners) {
      if (owners.size() == 1 || tools[i].is_prefixed) {
        staying.push_back(i);
        continue;
      }
      tools[i].is_prefixed = true;
      tools[i].shown = lists[tools[i].upstream].upstream + "-" + tools[i].name;
      by_name[tools[i].shown].push_back(i);
      to_check.push_back(tools[i].shown);
    }
    auto& kept = by_name[name];
    kept.insert(kept.end(), staying.begin(), staying.end());
  }
}

}  // namespace

ToolCatalog merge_tools(const std::vector<UpstreamTools>& lists) {
  ToolCatalog catalog;
  std::vector<Tool> tools = named_tools(lists, catalog.dropped);
  resolve_collisions(lists, tools);
  catalog.tools_array = "[";
  for (Tool& tool : tools) {
    if (!catalog.routes.emplace(tool.shown, ToolRoute{tool.upstream, tool.name, is_repeatable(tool.raw)}).second) {
      catalog.dropped.push_back(lists[tool.upstream].upstream + "/" + tool.name);
      continue;
    }
    if (catalog.tools_array.size() > 1) catalog.tools_array.push_back(',');
    if (!tool.is_prefixed) {
      catalog.tools_array.append(tool.raw);
      continue;
    }
    const auto before = static_cast<std::size_t>(tool.raw_name.data() - tool.raw.data());
    catalog.tools_array.append(tool.raw.substr(0, before))
        .append(encode_string(tool.shown))
        .append(tool.raw.substr(before + tool.raw_name.size()));
  }
  catalog.tools_array.push_back(']');
  return catalog;
}

}  // namespace ringside::mcp
