#pragma once
// Which blocks of a writer's own pool are in use: a bitmap in private memory, so that no peer can touch it. First fit,
// so that a quiet ring uses the same warm blocks again. Not thread-safe: its owner's mutex guards it.

#include <array>
#include <cstdint>
#include <optional>

#include "shm/layout.h"

namespace ringside::shm {

class BlockPool {
 public:
  /// A pool of at most kMaxBlocks free blocks.
  explicit BlockPool(std::uint32_t blocks);

  /// The first free run of `count` (at least 1) blocks, now in use; nothing when there is none that long.
  [[nodiscard]] std::optional<std::uint32_t> take(std::uint32_t count);
  /// Makes a run free that take() gave out, or a part of one.
  void give(std::uint32_t first, std::uint32_t count);

  [[nodiscard]] std::uint32_t blocks() const { return blocks_; }
  [[nodiscard]] std::uint32_t free() const { return free_; }

 private:
  [[nodiscard]] std::uint32_t next(std::uint32_t from, bool used) const;
  void mark(std::uint32_t first, std::uint32_t count, bool used);

  std::uint32_t blocks_;
  std::uint32_t free_;
  std::array<std::uint64_t, kMaxBlocks / 64> used_{};  // a set bit: in use, or beyond the end
};

}  // namespace ringside::shm
