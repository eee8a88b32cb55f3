#pragma once
// The arithmetic of a run of blocks: where a header and a body lie in it, and whether numbers that a stranger wrote can
// be true. Nothing here wraps around, whatever it is given.

#include <cstdint>
#include <optional>

#include "shm/layout.h"

namespace ringside::shm {

/// Where a body starts in its run: behind the header, at the next multiple of kBodyAlignment.
[[nodiscard]] constexpr std::uint64_t body_offset(std::uint32_t header_bytes) {
  return (std::uint64_t{header_bytes} + kBodyAlignment - 1) / kBodyAlignment * kBodyAlignment;
}

/// How many blocks a header and a body take; nothing when no pool can hold them.
[[nodiscard]] constexpr std::optional<std::uint32_t> blocks_needed(std::uint64_t header_bytes,
                                                                   std::uint64_t body_bytes) {
  constexpr std::uint64_t kMost = std::uint64_t{kMaxBlocks} * kBlockBytes;
  if (header_bytes > kMost || body_bytes > kMost) return std::nullopt;
  const std::uint64_t bytes =
      body_bytes == 0 ? header_bytes : body_offset(static_cast<std::uint32_t>(header_bytes)) + body_bytes;
  if (bytes > kMost) return std::nullopt;
  return static_cast<std::uint32_t>((bytes + kBlockBytes - 1) / kBlockBytes);
}

/// True when the run lies within a pool of `blocks`. An empty run lies anywhere within.
[[nodiscard]] constexpr bool run_within(std::uint32_t first, std::uint32_t count, std::uint32_t blocks) {
  return first <= blocks && count <= blocks - first;
}

/// The part of a body that travels in one run: large enough to make its wake-up cheap, small enough to leave room for
/// others. A run of less than kLeastPartBlocks is not worth its wake-up, unless it holds the rest.
inline constexpr std::uint32_t kPartBlocks = 128;
inline constexpr std::uint32_t kLeastPartBlocks = 16;

/// Where a block starts in its pool.
[[nodiscard]] constexpr std::uint64_t block_offset(std::uint32_t block) { return std::uint64_t{block} * kBlockBytes; }

}  // namespace ringside::shm
