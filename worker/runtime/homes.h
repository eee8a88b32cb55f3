#pragma once
// Where each session lives. What cannot be in a store (a stream, a stdio child, a question that waits for its answer)
// is in the worker that claimed the session first; others relay to it, and the next one claims it when that worker is
// gone. Thread-safe.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "worker/runtime/ledger.h"
#include "worker/runtime/relay.h"
#include "worker/runtime/sessions.h"

namespace ringside::worker {

/// Held by shared_ptr, which calls under way keep.
class Homes : public std::enable_shared_from_this<Homes> {
 public:
  /// `mine`: where other workers reach this one; empty: there are no others, and every session lives here. `sessions`
  /// and `clock` outlive the calls.
  Homes(std::string mine, std::shared_ptr<Relay> relay, Sessions& sessions, std::shared_ptr<Ledger> ledger,
        const Clock& clock);

  /// True: the session lives here, as `record` says now. False: the call is or will be answered, perhaps by `again`,
  /// which runs on any thread if the session has come to live here meanwhile.
  bool is_here(const std::shared_ptr<Call>& call, Sessions::Record& record,
               std::function<void(Sessions::Record)> again);
  /// Sessions that live here may be claimed by others from now on; what is relayed here still is sent back.
  void leave();

 private:
  using Again = std::function<void(Sessions::Record)>;
  /// Claims, relays or refuses; true: the session lives here.
  bool settle(const std::shared_ptr<Call>& call, Sessions::Record& record, const Again& again, int tries);
  void relayed(const std::shared_ptr<Call>& call, Sessions::Record record, const Again& again, int tries,
               Relay::Outcome outcome);
  bool is_here_relayed(const std::shared_ptr<Call>& call, Sessions::Record& record);
  /// False: the call has been answered.
  bool take(const std::shared_ptr<Call>& call, Sessions::Record& record, const std::string& expected);
  bool keep(const std::shared_ptr<Call>& call, Sessions::Record& record, Result<Sessions::Record> known);

  const std::string mine_;
  const std::shared_ptr<Relay> relay_;
  Sessions& sessions_;
  const std::shared_ptr<Ledger> ledger_;
  const Clock& clock_;
  std::atomic<bool> left_{false};
};

}  // namespace ringside::worker
