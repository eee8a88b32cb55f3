#pragma once
// The memory of one direction of a ring: a memfd of its writer, sized, allocated, mapped and only then sealed, so that
// the kernel lets nobody else write it, shrink it or grow it. Boost.Interprocess maps it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::shm {

inline constexpr std::uint64_t kDefaultSegmentBytes = 4ULL << 20U;
inline constexpr std::uint64_t kMinSegmentBytes = 1ULL << 20U;
inline constexpr std::uint64_t kMaxSegmentBytes = 8ULL << 20U;  // kMaxBlocks and the control area

/// A mapping; unmapped when it goes away. Move only.
class Segment {
 public:
  /// Makes a segment of ours, writable here and by nobody else. kInvalid when `bytes` is not a size of the limits above
  /// in whole blocks, kSystem when the machine has no memory for it.
  static Result<Segment> create(std::uint64_t bytes);
  /// Maps a peer's segment to read. kPeerLied unless it is a memfd (TMPFS_MAGIC), has exactly the seals
  /// SHRINK|GROW|FUTURE_WRITE|SEAL (F_SEAL_EXEC, which a kernel may add by itself, counts for nothing), a size within
  /// the limits, and all of its blocks allocated. `reason` gets the name of the refusal (docs/protocol.md, "Refusals").
  static Result<Segment> adopt(UniqueFd fd, std::string_view& reason);

  Segment(Segment&&) noexcept;
  Segment& operator=(Segment&&) noexcept;
  ~Segment();

  [[nodiscard]] std::byte* data() const;  ///< writing to an adopted one is a fault
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] int fd() const;  ///< to be sent to the peer; CLOEXEC. -1: adopted, closed once mapped

 private:
  struct Mapping;
  explicit Segment(std::unique_ptr<Mapping> mapping);
  std::unique_ptr<Mapping> mapping_;
};

}  // namespace ringside::shm
