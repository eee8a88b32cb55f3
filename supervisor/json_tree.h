#pragma once
// A configuration file's JSON (with // and /* */ comments) as a tree that keeps what a person needs to find a mistake:
// the order of members, the line of each value, and the path of each key. Values only; no thread rules.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringside::supervisor {

struct JsonNode {
  enum class Kind : std::uint8_t { kNull, kBoolean, kInteger, kReal, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  int line = 0;  ///< where the value ends (an object or array: where it begins), from 1
  bool boolean = false;
  std::int64_t integer = 0;     ///< kInteger; a number that does not fit is kReal
  std::string text;             ///< kString
  struct Member;                ///< a key and its value; a std::pair may not hold what is not whole yet
  std::vector<Member> members;  ///< kObject, as they stand in the file
  std::vector<JsonNode> items;  ///< kArray

  /// The member's value, or null.
  [[nodiscard]] const JsonNode* find(std::string_view name) const;
};
struct JsonNode::Member {
  std::string key;
  JsonNode value;
};

/// "an object", "a string", …: what an error message calls this value.
[[nodiscard]] std::string_view describe(JsonNode::Kind kind);

/// Something wrong with the file.
struct Problem {
  int line = 0;      ///< 0: none to name
  int column = 0;    ///< 0: none to name
  std::string path;  ///< of the key, as `mcpServers.time.args[1]`; empty: the file as a whole
  std::string what;
};

/// `parent` with a key or an index below it: a.b, a["b c"], a[1].
[[nodiscard]] std::string path_of(const std::string& parent, std::string_view key);
[[nodiscard]] std::string path_of(const std::string& parent, std::size_t index);

/// How deep a configuration may nest.
inline constexpr std::size_t kMaxConfigDepth = 32;

/// The tree, or nothing with a problem added. Keys that stand twice in one object are problems too (the first counts).
std::optional<JsonNode> read_json(std::string_view text, std::vector<Problem>& problems);

}  // namespace ringside::supervisor
