#pragma once
// How a call gets to the worker that its session lives in. The runtime asks; worker/peers/ carries.

#include <functional>
#include <memory>
#include <string>

#include "worker/runtime/call.h"

namespace ringside::worker {

class Ledger;

/// Thread-safe.
class Relay {
 public:
  enum class Outcome {
    kAnswered,    ///< the call has its answer, be it a stream that broke off
    kNotReached,  ///< nobody lives at that address; nothing ran
    kNotHome,     ///< somebody does, but the session does not live there (any more), or could not take it; nothing ran
    kBroken,      ///< the connection broke before an answer: it may have run
    kGivenUp,     ///< the caller did, or its time was up
  };
  virtual ~Relay() = default;
  /// Sends the call there and brings back its answer. `done` is called exactly once, on any thread, perhaps before this
  /// returns; if it is not kAnswered the call is as it was. A caller that gives up is told there.
  virtual void send(const std::shared_ptr<Call>& call, const std::shared_ptr<Ledger>& ledger,
                    const std::string& session, const std::string& home, std::function<void(Outcome)> done) = 0;
  /// Drops what is under way; after that nobody sends. Not from a callback.
  virtual void close() = 0;
};

}  // namespace ringside::worker
