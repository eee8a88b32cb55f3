#pragma once
// Finding spans in JSON that is known to be valid, and the text of its strings. Nothing is validated here again; a text
// that is not valid gives wrong spans, but never one outside of it. Pure functions, any thread; every view points into
// the input.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ringside::mcp {

/// `text` without JSON's white space at its ends.
[[nodiscard]] std::string_view trim_json(std::string_view text);

/// Where the value that starts at `text[at]` ends; text.size() when it does not end.
[[nodiscard]] std::size_t end_of_value(std::string_view text, std::size_t at);

/// Walks the members of a raw JSON object in their order; of anything else, none.
class MemberWalk {
 public:
  /// `count` is the number of members where it is known, else 0: the last one's end need not be looked for then, it is
  /// the object's.
  explicit MemberWalk(std::string_view raw_object, std::size_t count = 0);
  /// Goes to the next member; false behind the last.
  [[nodiscard]] bool next();
  /// The raw key without its quotes.
  [[nodiscard]] std::string_view key() const { return key_; }
  /// The raw value, trimmed. Its end is looked for only now: who asks for the key alone does not pay for it.
  [[nodiscard]] std::string_view value();

 private:
  void pass_value();

  std::string_view text_;  // without the closing brace
  std::size_t at_ = 0;
  std::size_t left_ = 0;
  std::string_view key_;
  std::string_view value_;
  bool is_passed_ = true;  // at_ is behind the member's value, not before it
};

/// The value of `key` (decoded); nothing without one; kInvalid when it stands there twice.
[[nodiscard]] Result<std::optional<std::string_view>> sole_member(std::string_view raw_object, std::string_view key);

/// True when the string whose raw bytes between the quotes are `inside` decodes to `text`.
[[nodiscard]] bool decodes_to(std::string_view inside, std::string_view text);

/// Appends the decoded text of a string's raw bytes between the quotes. Half a surrogate pair becomes U+FFFD.
void append_decoded(std::string& out, std::string_view inside);

/// The raw bytes between the quotes of a raw string; nothing when `raw` is no string.
[[nodiscard]] std::optional<std::string_view> inside_of_string(std::string_view raw);

}  // namespace ringside::mcp
