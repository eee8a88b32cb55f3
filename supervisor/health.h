#pragma once
// How the whole Ringside is: the one judgement of it, made of what the policy knows of its workers (who serves, whose
// circuit is broken, whether the pool stops), what they say of themselves, and who says nothing. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "supervisor/policy.h"

namespace ringside::supervisor {

/// What the process in a slot has said of itself.
struct WorkerWord {
  Duration silent_for{};  ///< since it last said anything
  std::string_view says;  ///< ok, degraded, not ready or draining; empty: it has not said how it is
};

struct OverallHealth {
  bool serving = false;                   ///< calls can be answered
  bool ready = false;                     ///< calls are taken, though every upstream may have failed
  std::string_view status = "not ready";  ///< ok, degraded, not ready, draining
  std::string reason;                     ///< for a person; empty when ok
  std::string looping;                    ///< workers in a crash loop, for a person ("worker 1"); empty: none
};

/// A worker that reports and then is silent for so long is stuck or stopped, whatever else is known of it.
inline constexpr Duration kSilent = std::chrono::seconds(4);

/// `words` by slot; a slot beyond them has said nothing yet.
[[nodiscard]] OverallHealth judge(const PolicyState& policy, const std::vector<WorkerWord>& words);

}  // namespace ringside::supervisor
