#pragma once
// A gRPC client that is none of ours: the contract's stub on a channel as gRPC makes it, which knows nothing of
// workers. All it was told is to wait for a connection instead of failing without one.

#include <memory>
#include <string>

#include "tests/chaos/house_troubles.h"

namespace ringside::test::chaos {

enum class Fate {
  kAnswered,
  kLost,        ///< UNAVAILABLE: its connection ended under it
  kTurnedAway,  ///< CANCELLED by a worker that was closing: it never ran
  kFailed,
};

struct ForeignAnswer {
  Fate fate = Fate::kFailed;
  int status = 0;     ///< of an answer
  std::string words;  ///< an answer's body, or gRPC's word
};

/// What a call may be lost to. A connection's end is noticed a little later by a client that shares its CPU.
inline constexpr Kinds kDeaths = {Trouble::kWorkerDies, Trouble::kWorkerStops, Trouble::kSupervisorDies,
                                  Trouble::kFewDescriptors, Trouble::kLittleMemory};
inline constexpr Duration kNoticed = std::chrono::milliseconds(500) * kSlowness;

class ForeignClient {
 public:
  explicit ForeignClient(const std::string& runtime_dir);
  ~ForeignClient();
  ForeignClient(const ForeignClient&) = delete;
  ForeignClient& operator=(const ForeignClient&) = delete;

  ForeignAnswer call(const std::string& body);

 private:
  struct Stub;
  std::unique_ptr<Stub> stub_;
};

}  // namespace ringside::test::chaos
