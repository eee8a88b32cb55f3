#include "mcp/json_scan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "mcp/json_block.h"

namespace ringside::mcp {
namespace {

constexpr std::size_t kShortString = 24;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

/// Where the next quote at or behind text[at] stands, escaped or not.
std::size_t next_quote(std::string_view text, std::size_t at) {
  if (at >= text.size()) return text.size();
  const void* found = std::memchr(text.data() + at, '"', text.size() - at);
  return found == nullptr ? text.size() : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

/// Whether the byte at text[at] is, by the backslashes between it and text[from].
bool is_escaped(std::string_view text, std::size_t from, std::size_t at) {
  std::size_t run = at;
  while (run > from && text[run - 1] == '\\') --run;
  return (at - run) % 2 != 0;
}

/// 64 bytes of `text` at `at`; zeros behind its end.
JsonBlock block_at(std::string_view text, std::size_t at) {
  if (text.size() - at >= kJsonBlock) return json_block(text.data() + at);
  std::array<char, kJsonBlock> last{};
  text.copy(last.data(), kJsonBlock, at);
  return json_block(last.data());
}

/// Behind the string that text[at] is in, with no escape begun before.
std::size_t end_inside_string(std::string_view text, std::size_t at) {
  const std::size_t quote = next_quote(text, at);
  if (quote == text.size() || !is_escaped(text, at, quote)) return std::min(quote + 1, text.size());
  // Where one quote is escaped many are, and each would cost a call of memchr.
  JsonStrings strings(true);
  for (at = quote + 1; at < text.size(); at += kJsonBlock) {
    const std::uint64_t quotes = strings.quotes(block_at(text, at));
    if (quotes != 0) return at + static_cast<std::size_t>(std::countr_zero(quotes)) + 1;
  }
  return text.size();
}

/// Behind the string whose opening quote is text[at].
std::size_t end_of_string(std::string_view text, std::size_t at) {
  // Most strings are short, and cost less than a call of memchr.
  const std::size_t near = std::min(text.size(), at + kShortString);
  std::size_t next = at + 1;
  for (; next < near; ++next) {
    if (text[next] == '"') return next + 1;
    if (text[next] == '\\') ++next;
  }
  return next >= text.size() ? text.size() : end_inside_string(text, next);
}

enum class Byte : std::uint8_t { kOther, kQuote, kOpen, kClose };

constexpr std::array<Byte, 256> kBytes = [] {
  std::array<Byte, 256> bytes{};
  bytes['"'] = Byte::kQuote;
  bytes['{'] = bytes['['] = Byte::kOpen;
  bytes['}'] = bytes[']'] = Byte::kClose;
  return bytes;
}();

/// Goes through the brackets of a block: where the one stands that closes the outermost, if it does.
std::optional<std::size_t> close_in_block(std::uint64_t opens, std::uint64_t closes, std::size_t& depth) {
  for (std::uint64_t brackets = opens | closes; brackets != 0; brackets &= brackets - 1) {
    const auto place = static_cast<std::size_t>(std::countr_zero(brackets));
    if ((opens >> place & 1U) != 0) {
      ++depth;
    } else if (--depth == 0) {
      return place;
    }
  }
  return std::nullopt;
}

/// Behind the container whose opening bracket is text[at].
std::size_t end_of_container(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  JsonStrings strings(false);
  while (at < text.size()) {
    const JsonBlock block = block_at(text, at);
    const std::uint64_t quotes = strings.quotes(block);
    const std::uint64_t outside = ~strings.inside(quotes);
    if (const auto place = close_in_block(block.opens & outside, block.closes & outside, depth)) {
      return at + *place + 1;
    }
    at += kJsonBlock;
    if (outside == 0 && quotes == 0 && block.backslashes == 0) {
      // In the middle of a long string, whose end memchr finds faster.
      const std::size_t quote = next_quote(text, at);
      strings.skip(is_escaped(text, at, quote));
      at = quote;
    }
  }
  return text.size();
}

/// Walks members from the last one backwards, which is never ambiguous: no quote inside of a string lacks a backslash
/// before it, and no opening quote has one. Every step is nothing when it would pass the front of `text`.
class BackWalk {
 public:
  explicit BackWalk(std::string_view text) : text_(text) {}

  /// Where the comma before the last `members` members stands.
  std::optional<std::size_t> before(std::size_t members) {
    for (; members > 0; --members) {
      if (!pass_value() || !pass(':') || !pass_string() || !pass(',')) return std::nullopt;
    }
    return text_.size();
  }

 private:
  bool pass(char c) {
    trim();
    if (!text_.ends_with(c)) return false;
    text_.remove_suffix(1);
    return true;
  }

  void trim() {
    while (!text_.empty() && is_space(text_.back())) text_.remove_suffix(1);
  }

  bool pass_string() {
    if (!pass('"')) return false;
    while (pass_to_quote()) {
      if (!text_.empty() && text_.back() != '\\') return true;
    }
    return false;
  }

  bool pass_to_quote() {
    const void* found = text_.empty() ? nullptr : ::memrchr(text_.data(), '"', text_.size());
    if (found == nullptr) return false;
    text_.remove_suffix(static_cast<std::size_t>(text_.data() + text_.size() - static_cast<const char*>(found)));
    return true;
  }

  bool pass_value() {
    trim();
    if (text_.ends_with('"')) return pass_string();
    if (text_.ends_with('}') || text_.ends_with(']')) return pass_container();
    while (!text_.empty() && text_.back() != ':' && !is_space(text_.back())) text_.remove_suffix(1);
    return true;
  }

  bool pass_container() {
    std::size_t depth = 0;
    while (!text_.empty()) {
      const Byte byte = kBytes[static_cast<unsigned char>(text_.back())];
      if (byte == Byte::kQuote) {
        if (!pass_string()) return false;
        continue;
      }
      text_.remove_suffix(1);
      if (byte == Byte::kClose) ++depth;
      if (byte == Byte::kOpen && --depth == 0) return true;
    }
    return false;
  }

  std::string_view text_;
};

/// What stands behind a container in the middle of an object is usually short, and found faster from the end.
constexpr std::size_t kTailMembers = 8;
constexpr std::size_t kTailBytes = 1024;

/// Where the value at text[at] ends when `behind` members follow it up to the end of `text` (0: not known).
std::size_t end_before(std::string_view text, std::size_t at, std::size_t behind) {
  const bool is_long = text.size() - at > kTailBytes && (text[at] == '{' || text[at] == '[');
  if (is_long && behind > 0 && behind <= kTailMembers) {
    const std::size_t tail = text.size() - kTailBytes;
    if (const auto comma = BackWalk(text.substr(tail)).before(behind)) return tail + *comma;
  }
  return end_of_value(text, at);
}

/// The number that four hex digits at `inside[at]` are; 0xFFFD when they are not there.
std::uint32_t hex4(std::string_view inside, std::size_t at) {
  if (at > inside.size() || inside.size() - at < 4) return 0xFFFD;
  std::uint32_t value = 0;
  for (const char c : inside.substr(at, 4)) {
    const auto digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    value = value * 16 + (static_cast<std::uint32_t>(digit) & 0xFU);
  }
  return value;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&](unsigned shift) { out.push_back(static_cast<char>(0x80U | ((code >> shift) & 0x3FU))); };
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xC0U | (code >> 6U)));
    tail(0);
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xE0U | (code >> 12U)));
    tail(6);
    tail(0);
  } else {
    out.push_back(static_cast<char>(0xF0U | (code >> 18U)));
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_high_surrogate(std::uint32_t code) { return code >= 0xD800 && code < 0xDC00; }
bool is_low_surrogate(std::uint32_t code) { return code >= 0xDC00 && code < 0xE000; }

/// Appends what the escape behind the backslash at inside[at] stands for; the index behind it.
std::size_t append_escape(std::string& out, std::string_view inside, std::size_t at) {
  if (at + 1 >= inside.size()) return inside.size();
  const char kind = inside[at + 1];
  if (kind != 'u') {
    static constexpr std::string_view kNames = "bfnrt";
    static constexpr std::string_view kMeant = "\b\f\n\r\t";
    const std::size_t index = kNames.find(kind);
    out.push_back(index == std::string_view::npos ? kind : kMeant[index]);
    return at + 2;
  }
  std::uint32_t code = hex4(inside, at + 2);
  at += 6;
  if (is_high_surrogate(code) && inside.substr(std::min(at, inside.size())).starts_with("\\u")) {
    const std::uint32_t low = hex4(inside, at + 2);
    if (is_low_surrogate(low)) {
      code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
      at += 6;
    }
  }
  append_utf8(out, is_high_surrogate(code) || is_low_surrogate(code) ? 0xFFFD : code);
  return at;
}

}  // namespace

std::string_view trim_json(std::string_view text) {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  text.remove_prefix(skip_space(text, 0));
  return text;
}

std::size_t end_of_value(std::string_view text, std::size_t at) {
  if (at >= text.size()) return text.size();
  if (text[at] == '"') return end_of_string(text, at);
  if (text[at] == '{' || text[at] == '[') return end_of_container(text, at);
  while (at < text.size() && text[at] != ',' && text[at] != '}' && text[at] != ']' && !is_space(text[at])) ++at;
  return at;
}

MemberWalk::MemberWalk(std::string_view raw_object, std::size_t count) : left_(count) {
  const std::string_view text = trim_json(raw_object);
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') text_ = text.substr(1, text.size() - 2);
}

bool MemberWalk::next() {
  if (!is_passed_) pass_value();
  at_ = skip_space(text_, at_);
  if (at_ < text_.size() && text_[at_] == ',') at_ = skip_space(text_, at_ + 1);
  if (at_ >= text_.size() || text_[at_] != '"') return false;
  const std::size_t key_end = end_of_string(text_, at_);
  key_ = text_.substr(at_ + 1, key_end - at_ - 2);
  at_ = skip_space(text_, key_end);
  if (at_ < text_.size() && text_[at_] == ':') at_ = skip_space(text_, at_ + 1);
  is_passed_ = false;
  return true;
}

void MemberWalk::pass_value() {
  const std::size_t end = left_ == 1 ? text_.size() : end_before(text_, at_, left_ == 0 ? 0 : left_ - 1);
  if (left_ > 0) --left_;
  value_ = trim_json(text_.substr(at_, end - at_));
  at_ = end;
  is_passed_ = true;
}

std::string_view MemberWalk::value() {
  if (!is_passed_) pass_value();
  return value_;
}

Result<std::optional<std::string_view>> sole_member(std::string_view raw_object, std::string_view key) {
  std::optional<std::string_view> found;
  for (MemberWalk walk(raw_object); walk.next();) {
    if (!decodes_to(walk.key(), key)) continue;
    if (found) return Error{Code::kInvalid, 0, "a key stands twice in an object"};
    found = walk.value();
  }
  return found;
}

bool decodes_to(std::string_view inside, std::string_view text) {
  if (inside.find('\\') == std::string_view::npos) return inside == text;
  if (inside.size() < text.size()) return false;
  std::string decoded;
  append_decoded(decoded, inside);
  return decoded == text;
}

void append_decoded(std::string& out, std::string_view inside) {
  for (std::size_t at = 0; at < inside.size();) {
    const std::size_t escape = std::min(inside.find('\\', at), inside.size());
    out.append(inside.substr(at, escape - at));
    at = escape < inside.size() ? append_escape(out, inside, escape) : escape;
  }
}

std::optional<std::string_view> inside_of_string(std::string_view raw) {
  const std::string_view text = trim_json(raw);
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  return text.substr(1, text.size() - 2);
}

}  // namespace ringside::mcp
