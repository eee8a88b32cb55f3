#include "shm/segment_header.h"

#include "shm/untrusted.h"

namespace ringside::shm {

Header make_header(Side side, std::uint64_t segment_bytes, std::uint32_t generation, std::uint32_t features) {
  return Header{.magic = kMagic,
                .version = kVersion,
                .side = side,
                .segment_bytes = segment_bytes,
                .pool_offset = pool_offset(side),
                .blocks = blocks_in(side, segment_bytes),
                .slots = kSlots,
                .generation = generation,
                .features = features,
                .reserved = {0, 0}};
}

std::string_view fault_of_header(const Segment& segment, Side side, std::uint32_t generation) {
  const auto& header = *reinterpret_cast<const Header*>(segment.data());
  if (read_once(header.magic) != kMagic) return "bad_magic";
  if (read_once(header.version) != kVersion) return "bad_version";
  const bool good = read_once(header.side) == side && read_once(header.segment_bytes) == segment.size() &&
                    read_once(header.pool_offset) == pool_offset(side) &&
                    read_once(header.blocks) == blocks_in(side, segment.size()) && read_once(header.slots) == kSlots &&
                    read_once(header.generation) == generation;
  return good ? std::string_view() : "bad_header";
}

}  // namespace ringside::shm
