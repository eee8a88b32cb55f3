#include "mcp/json_grammar.h"

#include <simdjson.h>

#include <bitset>
#include <cstdint>
#include <cstring>

#include "mcp/envelope.h"

namespace ringside::mcp {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// True when none of eight bytes ends a run of plain characters: a quote, a backslash or a control byte. The high bit
/// of a byte that is zero, or less than n, is made by subtraction (Bit Twiddling Hacks, "Determine if a word has a zero
/// byte").
bool is_plain(std::uint64_t bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const std::uint64_t quote = bytes ^ (kOnes * '"');
  const std::uint64_t backslash = bytes ^ (kOnes * '\\');
  const std::uint64_t found =
      ((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash) | ((bytes - kOnes * 0x20) & ~bytes);
  return (found & kHigh) == 0;
}

class Grammar {
 public:
  explicit Grammar(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool whole() {
    if (!value()) return false;
    while (depth_ > 0) {
      space();
      if (take(',')) {
        if ((in_object() && !key()) || !value()) return false;
      } else if (take(in_object() ? '}' : ']')) {
        --depth_;
      } else {
        return false;
      }
    }
    space();
    return at_ == end_;
  }

 private:
  bool in_object() const { return objects_[depth_ - 1]; }

  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  void space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool open(bool object) {
    if (depth_ == kMaxDepth) return false;
    objects_[depth_++] = object;
    space();
    return true;
  }

  /// A value, or all that stands before the first element that is no container: those stay open.
  bool value() {
    while (true) {
      space();
      if (take('{')) {
        if (!open(true)) return false;
        if (take('}')) break;
        if (!key()) return false;
      } else if (take('[')) {
        if (!open(false)) return false;
        if (take(']')) break;
      } else {
        return scalar();
      }
    }
    --depth_;
    return true;
  }

  bool scalar() {
    if (at_ == end_) return false;
    switch (*at_) {
      case '"':
        return string();
      case 't':
        return literal("true");
      case 'f':
        return literal("false");
      case 'n':
        return literal("null");
      default:
        return number();
    }
  }

  bool key() {
    space();
    if (!string()) return false;
    space();
    return take(':');
  }

  bool literal(std::string_view word) {
    if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool digits() {
    const char* first = at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return at_ != first;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  bool string() {
    if (!take('"')) return false;
    while (true) {
      std::uint64_t bytes = 0;
      while (end_ - at_ >= 8 && (std::memcpy(&bytes, at_, sizeof bytes), is_plain(bytes))) at_ += 8;
      if (at_ == end_ || static_cast<unsigned char>(*at_) < 0x20) return false;
      const char c = *at_++;
      if (c == '"') return true;
      if (c == '\\' && !escape()) return false;
    }
  }

  bool escape() {
    if (at_ == end_) return false;
    const char c = *at_++;
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    for (int i = 0; i < 4; ++i) {
      if (at_ == end_ || !is_hex(*at_++)) return false;
    }
    return true;
  }

  const char* at_;
  const char* end_;
  std::size_t depth_ = 0;
  std::bitset<kMaxDepth> objects_;
};

}  // namespace

bool is_json_text(std::string_view text) { return simdjson::validate_utf8(text) && Grammar(text).whole(); }

}  // namespace ringside::mcp
