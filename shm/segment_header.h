#pragma once
// The first 64 bytes of a segment: written before it is shared, checked before it is used.

#include <cstdint>
#include <string_view>

#include "shm/layout.h"
#include "shm/segment.h"

namespace ringside::shm {

/// Where the pool of that side's segment starts.
[[nodiscard]] constexpr std::uint64_t pool_offset(Side side) {
  return side == Side::kClient ? sizeof(RequestSegment) : sizeof(ResponseSegment);
}
/// How many blocks a segment of that size has.
[[nodiscard]] constexpr std::uint32_t blocks_in(Side side, std::uint64_t segment_bytes) {
  return static_cast<std::uint32_t>((segment_bytes - pool_offset(side)) / kBlockBytes);
}
static_assert(blocks_in(Side::kClient, kMaxSegmentBytes) <= kMaxBlocks);
static_assert(blocks_in(Side::kWorker, kMaxSegmentBytes) <= kMaxBlocks);

/// The header of our own segment.
[[nodiscard]] Header make_header(Side side, std::uint64_t segment_bytes, std::uint32_t generation,
                                 std::uint32_t features);

/// Reads the header of a peer's segment and holds it against what it must be. The name of the refusal, or nothing.
[[nodiscard]] std::string_view fault_of_header(const Segment& segment, Side side, std::uint32_t generation);

}  // namespace ringside::shm
