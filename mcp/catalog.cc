#include "mcp/catalog.h"

#include <optional>
#include <utility>

#include "mcp/envelope.h"
#include "mcp/json_scan.h"

namespace ringside::mcp {
namespace {

struct Entry {
  std::size_t upstream = 0;
  std::string name;  // the upstream's own
  std::string_view raw;
  std::string_view raw_name;
  std::string shown;  // what clients see
  bool is_prefixed = false;
};

/// The decoded key of an entry, and its raw value; nothing when there is none, or more than one.
std::optional<std::pair<std::string, std::string_view>> key_of(std::string_view raw, std::string_view key) {
  const auto value = sole_member(raw, key);
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

class Merge {
 public:
  Merge(const std::vector<const UpstreamList*>& lists, const MergeOptions& options)
      : lists_(lists), options_(options) {}

  MergedList run() {
    for (std::size_t upstream = 0; upstream < lists_.size(); ++upstream) {
      if (lists_[upstream] != nullptr) take(upstream);
    }
    if (options_.rule == NameRule::kAlways) {
      for (Entry& entry : entries_) prefix(entry);
    }
    if (options_.rule == NameRule::kCollisions) resolve_collisions();
    write();
    return std::move(merged_);
  }

 private:
  /// Every entry that has a key, each once for its upstream, in order.
  void take(std::size_t upstream) {
    std::unordered_set<std::string> seen;
    for (const std::string& raw : lists_[upstream]->entries) {
      auto name = key_of(raw, options_.key);
      if (!name) {
        drop(upstream, "(no name)");
      } else if (!seen.insert(name->first).second) {
        drop(upstream, name->first);
      } else {
        entries_.push_back({upstream, name->first, raw, name->second, name->first, false});
      }
    }
  }

  void drop(std::size_t upstream, const std::string& name) {
    merged_.dropped.push_back(lists_[upstream]->upstream + "/" + name);
  }

  void prefix(Entry& entry) {
    entry.is_prefixed = true;
    entry.shown = lists_[entry.upstream]->upstream + std::string(options_.separator) + entry.name;
  }

  /// Prefixes what collides until nothing does but prefixed names. An entry moves at most once, and only the name that
  /// it moves to is looked at again, so this takes as many steps as there are entries.
  void resolve_collisions() {
    std::unordered_map<std::string, std::vector<std::size_t>> by_name;
    for (std::size_t i = 0; i < entries_.size(); ++i) by_name[entries_[i].shown].push_back(i);
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
        if (owners.size() == 1 || entries_[i].is_prefixed) {
          staying.push_back(i);
          continue;
        }
        prefix(entries_[i]);
        by_name[entries_[i].shown].push_back(i);
        to_check.push_back(entries_[i].shown);
      }
      auto& kept = by_name[name];
      kept.insert(kept.end(), staying.begin(), staying.end());
    }
  }

  void write() {
    merged_.array = "[";
    for (const Entry& entry : entries_) {
      const bool too_long = entry.is_prefixed && entry.shown.size() > kMaxMadeName;
      if (too_long || merged_.routes.contains(entry.shown)) {
        drop(entry.upstream, entry.name);
        continue;
      }
      if (options_.only != nullptr && !options_.only->contains(entry.shown)) continue;
      merged_.routes.emplace(entry.shown, CatalogRoute{entry.upstream, entry.name, is_repeatable(entry.raw)});
      if (merged_.array.size() > 1) merged_.array.push_back(',');
      merged_.starts.push_back(merged_.array.size());
      if (!entry.is_prefixed) {
        merged_.array.append(entry.raw);
        continue;
      }
      const auto before = static_cast<std::size_t>(entry.raw_name.data() - entry.raw.data());
      merged_.array.append(entry.raw.substr(0, before))
          .append(encode_string(entry.shown))
          .append(entry.raw.substr(before + entry.raw_name.size()));
    }
    merged_.array.push_back(']');
  }

  const std::vector<const UpstreamList*>& lists_;
  const MergeOptions& options_;
  std::vector<Entry> entries_;
  MergedList merged_;
};

}  // namespace

std::string MergedList::page(std::size_t from, std::size_t to) const {
  if (from >= to || from >= starts.size()) return "[]";
  // Behind an entry stands a comma, or the bracket.
  const std::size_t end = to < starts.size() ? starts[to] - 1 : array.size() - 1;
  return "[" + array.substr(starts[from], end - starts[from]) + "]";
}

MergedList merge_lists(const std::vector<const UpstreamList*>& lists, const MergeOptions& options) {
  return Merge(lists, options).run();
}

}  // namespace ringside::mcp
