#pragma once
// One segment made in advance, so that attaching a ring need not wait for 4 MiB to be cleared: that is a third of what
// a client waits whose worker died while another was ready. Thread-safe.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"
#include "shm/segment.h"

namespace ringside::shm {

class SegmentReserve {
 public:
  /// Of segments of so many bytes. Makes none yet.
  explicit SegmentReserve(std::uint64_t bytes) : bytes_(bytes) {}
  /// Waits for the segment that is being made.
  ~SegmentReserve();
  SegmentReserve(const SegmentReserve&) = delete;
  SegmentReserve& operator=(const SegmentReserve&) = delete;

  /// The spare segment, or else one made now. Errors: as Segment::create.
  Result<Segment> take();
  /// Makes a spare one, if there is none, on a thread of its own. When the machine has no memory for it there is none.
  void refill();
  /// 0 or 1.
  [[nodiscard]] std::size_t spares();

 private:
  void make_spares();

  const std::uint64_t bytes_;
  std::mutex mutex_;  // guards all below
  std::condition_variable wanted_;
  std::optional<Segment> spare_;
  bool refill_ = false;
  bool stopping_ = false;
  std::thread thread_;  // started by the first refill
};

}  // namespace ringside::shm
