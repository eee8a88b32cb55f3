#pragma once
// The limits of one upstream, whatever kind it is: how long a call may take, how many are under way at once, and when
// it is left alone for a while.

#include <cstddef>
#include <memory>

#include "base/clock.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

struct UpstreamLimits {
  Duration timeout = Duration::zero();  ///< of one call; zero: the caller's deadline alone
  std::size_t concurrency = 0;          ///< calls under way; more wait. 0: no limit
  bool breaks = false;                  ///< it has a circuit (circuit.h)
};

/// `inner` under these limits. A call beyond them waits; while the circuit is open it gets kUnavailable at once.
std::unique_ptr<Upstream> limit_upstream(std::unique_ptr<Upstream> inner, UpstreamLimits limits);

}  // namespace ringside::worker
