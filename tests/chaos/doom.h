#pragma once
// What the chaos programs share: a death that is told in advance, the first packet of an attachment, promises.

#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>

#include "base/clock.h"
#include "shm/layout.h"
#include "shm/run.h"
#include "shm/segment.h"
#include "shm/step.h"

namespace ringside::shm::chaos {

/// Any wait that takes longer has slept through something.
inline constexpr auto kPatience = std::chrono::seconds(30);

/// SIGKILL at the `countdown`-th passing of `step`; `step` < 0: never.
struct Doom {
  std::int32_t step = -1;
  std::uint32_t countdown = 0;
};
/// From now on this process is doomed. Once a process.
void doom_this_process(Doom doom);

/// The first packet: client to worker, with the request segment and the log.
struct Ask {
  std::uint64_t ring = 0;
  std::uint64_t seed = 0;
  std::uint32_t generation = 0;
  Doom doom;  // the worker's
};

/// The header of a call through the queue: whoever takes it sees for itself that it is whole.
struct Label {
  enum Kind : std::uint64_t {
    kEcho,
    kStream,  ///< answered by streamed_for() this label
    kProbe,   ///< asked when nothing is under way: answered by as much as fits the whole pool, in one run
  };
  std::uint64_t kind = kEcho;
  std::uint64_t hash = 0;   ///< of the body
  std::uint64_t id = 0;     ///< the sequence it was published under first; a body in parts gets another after a death
  std::uint64_t retry = 0;  ///< published anew, and a worker that died had taken it
};

/// What a worker writes to the log when it has taken a call, before anything else: the call's effect.
struct Effect {
  std::uint64_t id = 0;
  std::uint32_t generation = 0;
  std::uint32_t retry = 0;
};

/// The body that answers a probe: with its header it takes every block that a worker has.
inline std::string whole_pool() {
  return std::string(kMinSegmentBytes - sizeof(ResponseSegment) - body_offset(sizeof(Label)), 'p');
}

/// The message that asks a client to make no more calls.
inline constexpr char kStop[] = "stop";

/// A promise that does not hold ends the test, in whatever process it is found.
inline void promise(bool holds, const std::string& text) {
  if (!holds) throw std::runtime_error(text);
}

/// What lies in this process's hands: a leak shows here.
struct Footprint {
  int descriptors = 0;
  int segments = 0;  ///< mappings of memfds
  long resident_kib = 0;
};
Footprint footprint();

inline SteadyTime patience() { return std::chrono::steady_clock::now() + kPatience; }

/// What the two sides of these tests agree on.
inline constexpr std::uint32_t kFeatures = kFeatureRing | kFeatureHandle | kFeatureAgain | kFeatureParts;

inline std::uint64_t below(std::mt19937_64& random, std::uint64_t bound) { return random() % bound; }

}  // namespace ringside::shm::chaos
