#include "client/cpp/ring_spread.h"

#include <algorithm>

namespace ringside {

bool RingSpread::usable() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->usable(); });
}

Transport& RingSpread::next() {
  const std::size_t first = turn_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < rings_.size(); ++i) {
    Transport& ring = *rings_[(first + i) % rings_.size()];
    if (ring.usable()) return ring;
  }
  return *rings_[first % rings_.size()];
}

}  // namespace ringside
