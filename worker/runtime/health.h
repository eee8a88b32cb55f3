#pragma once
// How a worker is, in the words of the contract's HealthCheck. Alive is whoever answers at all.

#include <cstdint>
#include <string_view>

namespace ringside::worker {

enum class Health : std::uint8_t {
  kOk,
  kDegraded,  ///< ready, but every upstream has failed: nothing that is forwarded can be answered
  kNotReady,  ///< the session store does not answer: no session can be opened
  kDraining,  ///< going away; what is under way is answered
};

/// "ok", "degraded", "not ready", "draining".
[[nodiscard]] constexpr std::string_view to_string(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kDegraded:
      return "degraded";
    case Health::kNotReady:
      return "not ready";
    case Health::kDraining:
      break;
  }
  return "draining";
}

/// Calls are taken, and get the answers that they should get.
[[nodiscard]] constexpr bool is_ready(Health health) { return health == Health::kOk || health == Health::kDegraded; }

}  // namespace ringside::worker
