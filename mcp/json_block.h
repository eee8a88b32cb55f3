#pragma once
// 64 bytes of JSON at once, as sets of bits: where its quotes and brackets stand. After Langdale and Lemire, "Parsing
// Gigabytes of JSON per Second", 3.1. Pure functions, any thread.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ringside::mcp {

inline constexpr std::size_t kJsonBlock = 64;

/// Bit i stands for the i-th byte.
struct JsonBlock {
  std::uint64_t quotes = 0;
  std::uint64_t backslashes = 0;
  std::uint64_t opens = 0;   ///< { and [
  std::uint64_t closes = 0;  ///< } and ]
};

/// `at` has kJsonBlock bytes.
[[nodiscard]] inline JsonBlock json_block(const char* at) {
  JsonBlock block;
  constexpr char kToBrace = 0x20;  // the one bit between [ and {, and between ] and }
#if defined(__SSE2__)
  constexpr std::size_t kLane = sizeof(__m128i);
  for (std::size_t from = 0; from < kJsonBlock; from += kLane) {
    __m128i bytes;
    std::memcpy(&bytes, at + from, kLane);
    const __m128i braces = _mm_or_si128(bytes, _mm_set1_epi8(kToBrace));
    const auto where = [from](__m128i in, char byte) {
      const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(in, _mm_set1_epi8(byte)));
      return static_cast<std::uint64_t>(static_cast<std::uint32_t>(found)) << from;
    };
    block.quotes |= where(bytes, '"');
    block.backslashes |= where(bytes, '\\');
    block.opens |= where(braces, '{');
    block.closes |= where(braces, '}');
  }
#else
  for (std::size_t i = 0; i < kJsonBlock; ++i) {
    const std::uint64_t bit = std::uint64_t{1} << i;
    const char brace = static_cast<char>(at[i] | kToBrace);
    if (at[i] == '"') block.quotes |= bit;
    if (at[i] == '\\') block.backslashes |= bit;
    if (brace == '{') block.opens |= bit;
    if (brace == '}') block.closes |= bit;
  }
#endif
  return block;
}

/// Follows strings through the blocks of a text, the first of which starts outside of one, or inside at its first byte.
class JsonStrings {
 public:
  explicit JsonStrings(bool inside) : inside_(inside ? ~std::uint64_t{0} : 0) {}

  /// The quotes of the next block that begin or end a string.
  [[nodiscard]] std::uint64_t quotes(const JsonBlock& block) {
    if ((block.backslashes | escaped_) == 0) return block.quotes;
    // A run of backslashes escapes what is behind it when it is odd. Adding the odd ones' starts to their run carries a
    // bit just behind it; those at even and at odd places are told apart.
    constexpr std::uint64_t kEven = 0x5555555555555555U;
    const std::uint64_t backslashes = block.backslashes & ~escaped_;
    const std::uint64_t follows = backslashes << 1U | escaped_;
    const std::uint64_t odd_starts = backslashes & ~kEven & ~follows;
    std::uint64_t even_runs = 0;
    const bool carried = __builtin_add_overflow(odd_starts, backslashes, &even_runs);
    const std::uint64_t escaped = (kEven ^ (even_runs << 1U)) & follows;
    escaped_ = carried ? 1U : 0U;
    return block.quotes & ~escaped;
  }

  /// Given those quotes: the bytes inside of strings, with the opening quotes and without the closing ones.
  [[nodiscard]] std::uint64_t inside(std::uint64_t quotes) {
    for (unsigned shift = 1; shift < 64; shift *= 2) quotes ^= quotes << shift;
    const std::uint64_t inside = quotes ^ inside_;
    inside_ = inside >> 63U != 0 ? ~std::uint64_t{0} : 0;
    return inside;
  }

  /// The next block is another one further on in the same string; whether its first byte is escaped.
  void skip(bool escaped) { escaped_ = escaped ? 1U : 0U; }

 private:
  std::uint64_t escaped_ = 0;  // 1: the first byte of the next block is
  std::uint64_t inside_;       // all ones: the next block begins inside of a string
};

}  // namespace ringside::mcp
