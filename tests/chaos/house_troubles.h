#pragma once
// What the hand has done to the house, and when: a call that failed or waited is held against it. And what went wrong
// without such an excuse. Thread-safe.

#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"

namespace ringside::test::chaos {

/// How much longer everything takes that a sanitizer watches.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kSlowness = 5;
#else
inline constexpr int kSlowness = 1;
#endif

enum class Trouble : std::uint8_t {
  kWorkerDies,      ///< a moment
  kWorkerStops,     ///< until it goes on, or is gone
  kSupervisorDies,  ///< until one of the next one's workers serves
  kFarDies,         ///< the upstream over HTTP, until it listens again
  kNearDies,        ///< a child of a worker; a moment
  kFewDescriptors,  ///< of a worker or the supervisor
  kLittleMemory,    ///< of a worker, until it is gone or has it again
  kReload,          ///< until it is answered
};
using Kinds = std::initializer_list<Trouble>;

class Troubles {
 public:
  /// From now until end(), or for this moment only.
  std::size_t begin(Trouble what);
  void end(std::size_t which);
  void moment(Trouble what) { end(begin(what)); }

  /// One of these kinds was there between the two times, or had ended less than `wake` before.
  [[nodiscard]] bool between(Kinds kinds, SteadyTime from, SteadyTime until, Duration wake) const;
  /// How much of the time between the two one of these kinds was there.
  [[nodiscard]] Duration time_in(Kinds kinds, SteadyTime from, SteadyTime until) const;

  /// Something was promised otherwise. The first few are kept word for word.
  void broken(const std::string& promise);
  [[nodiscard]] std::string broken() const;

 private:
  struct Span {
    Trouble what;
    SteadyTime from;
    SteadyTime until;
  };
  mutable std::mutex mutex_;
  std::vector<Span> spans_;  // by from
  std::size_t broken_ = 0;
  std::string words_;
};

}  // namespace ringside::test::chaos
