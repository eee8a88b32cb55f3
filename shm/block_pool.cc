#include "shm/block_pool.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace ringside::shm {
namespace {

constexpr std::uint32_t kWordBits = 64;

}  // namespace

BlockPool::BlockPool(std::uint32_t blocks) : blocks_(blocks), free_(blocks) {
  RS_CHECK(blocks <= kMaxBlocks, "a pool has at most kMaxBlocks blocks");
  if (blocks < kMaxBlocks) mark(blocks, kMaxBlocks - blocks, true);
}

std::optional<std::uint32_t> BlockPool::take(std::uint32_t count) {
  RS_CHECK(count > 0, "an empty run takes no blocks");
  if (count > free_) return std::nullopt;
  for (std::uint32_t start = next(0, false); start < blocks_;) {
    const std::uint32_t end = next(start, true);
    if (end - start >= count) {
      mark(start, count, true);
      free_ -= count;
      return start;
    }
    start = next(end, false);
  }
  return std::nullopt;
}

void BlockPool::give(std::uint32_t first, std::uint32_t count) {
  RS_CHECK(count > 0 && first < blocks_ && count <= blocks_ - first, "a run that is given back lies in the pool");
  RS_CHECK(next(first, false) >= first + count, "a run that is given back was in use");
  mark(first, count, false);
  free_ += count;
}

// The first block at or after `from` that is in use, or free; kMaxBlocks when there is none.
std::uint32_t BlockPool::next(std::uint32_t from, bool used) const {
  for (std::uint32_t word = from / kWordBits; word < used_.size(); ++word) {
    std::uint64_t bits = used ? used_[word] : ~used_[word];
    if (word == from / kWordBits) bits &= ~std::uint64_t{0} << (from % kWordBits);
    if (bits != 0) return word * kWordBits + static_cast<std::uint32_t>(std::countr_zero(bits));
  }
  return kMaxBlocks;
}

void BlockPool::mark(std::uint32_t first, std::uint32_t count, bool used) {
  while (count > 0) {
    const std::uint32_t bit = first % kWordBits;
    const std::uint32_t here = std::min(count, kWordBits - bit);
    const std::uint64_t mask = (here == kWordBits ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1) << bit;
    std::uint64_t& word = used_[first / kWordBits];
    word = used ? word | mask : word & ~mask;
    first += here;
    count -= here;
  }
}

}  // namespace ringside::shm
