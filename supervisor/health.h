#pragma once
// How the whole Ringside is, judged from what its workers say and from who says nothing. Pure.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace ringside::supervisor {

/// One worker, as the supervisor knows it.
struct WorkerHealth {
  bool ready = false;     ///< its doors are open and it is not draining
  Duration silent_for{};  ///< since it last said anything
  std::string_view says;  ///< ok, degraded, not ready or draining; empty: it has not said how it is
};

struct OverallHealth {
  bool serving = false;                   ///< calls can be answered
  bool ready = false;                     ///< calls are taken, though every upstream may have failed
  std::string_view status = "not ready";  ///< ok, degraded, not ready, draining
  std::string reason;                     ///< for a person; empty when ok
};

/// A worker that reports and then is silent for so long is stuck or stopped, whatever else is known of it.
inline constexpr Duration kSilent = std::chrono::seconds(4);

[[nodiscard]] OverallHealth judge(bool stopping, std::size_t wanted, const std::vector<WorkerHealth>& workers);

}  // namespace ringside::supervisor
