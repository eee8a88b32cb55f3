#pragma once
// Merging what several upstreams list into one list under keys that are unique. Pure; raw JSON objects go in and come
// out unchanged but for a name that had to change.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"

namespace ringside::mcp {

/// What one upstream lists, as it answered: raw JSON objects.
struct UpstreamList {
  std::string upstream;
  std::vector<std::string> entries;
};

struct CatalogRoute {
  std::size_t upstream = 0;  ///< index into the lists given to merge_lists
  std::string name;          ///< the upstream's own name of it
  bool repeatable = false;   ///< its annotations say readOnlyHint or idempotentHint
};

/// Which names get their upstream in front, as `<upstream><separator><name>`.
enum class NameRule : std::uint8_t {
  /// Those that collide, all of them. If such a name collides again, the plain one gets its upstream too.
  kCollisions,
  kAlways,  ///< all: whoever joins later changes nobody's name
  kFirst,   ///< none: the first upstream of the list keeps the key, the others' entries are dropped
};

struct MergeOptions {
  std::string_view key = "name";  ///< the member that tells entries apart
  NameRule rule = NameRule::kCollisions;
  std::string_view separator = "-";
  const std::unordered_set<std::string>* only = nullptr;  ///< of shown names; null: all
};

/// A name that we make is no longer than that: what the protocol's clients take.
inline constexpr std::size_t kMaxMadeName = 128;

/// The merged list, immutable once made.
struct MergedList {
  std::string array = "[]";                              ///< raw, for the answer
  std::vector<std::size_t> starts;                       ///< of each entry in the array
  std::unordered_map<std::string, CatalogRoute> routes;  ///< by the key that clients see
  std::vector<std::string> dropped;                      ///< "upstream/key", "upstream/(no name)"

  /// The raw array of entries [from, to).
  [[nodiscard]] std::string page(std::size_t from, std::size_t to) const;
};

/// Null lists count as empty. Two equal names after all: the first upstream keeps it, the other is dropped; so are an
/// entry without the key, a made name that is too long, and what one upstream lists twice, but for its first.
[[nodiscard]] MergedList merge_lists(const std::vector<const UpstreamList*>& lists, const MergeOptions& options);

}  // namespace ringside::mcp
