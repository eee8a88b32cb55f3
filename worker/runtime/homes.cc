#include "worker/runtime/homes.h"

#include <utility>

#include "mcp/envelope.h"
#include "rpc/errors.h"

namespace ringside::worker {
namespace {

constexpr int kMostTries = 3;
constexpr int kMisdirected = 421;  // RFC 9110, 15.5.20

/// The raw id of the request that the call carries; empty: it is none.
std::string id_of(Call& call) {
  thread_local mcp::EnvelopeReader reader;
  thread_local mcp::Envelope envelope;
  if (call.request().method != "POST" || reader.read(call.request().body, envelope) != mcp::EnvelopeFault::kNone) {
    return {};
  }
  return envelope.kind == mcp::Envelope::Kind::kRequest ? std::string(envelope.id) : std::string();
}

/// The machine that a home is on: what stands before '|'.
std::string_view machine_of(std::string_view home) { return home.substr(0, home.find('|')); }

}  // namespace

Homes::Homes(std::string mine, std::shared_ptr<Relay> relay, Sessions& sessions, std::shared_ptr<Ledger> ledger,
             const Clock& clock)
    : mine_(std::move(mine)),
      relay_(std::move(relay)),
      sessions_(sessions),
      ledger_(std::move(ledger)),
      clock_(clock) {}

bool Homes::is_here(const std::shared_ptr<Call>& call, Sessions::Record& record, Again again) {
  if (mine_.empty() || (record->home == mine_ && !left_.load(std::memory_order_relaxed))) return true;
  if (call->request().relayed) return is_here_relayed(call, record);
  return settle(call, record, again, 0);
}

/// Another worker has found that it lives here; it is never sent on, so that no two send it to and fro.
bool Homes::is_here_relayed(const std::shared_ptr<Call>& call, Sessions::Record& record) {
  if (!keep(call, record, sessions_.look_again(record->id, clock_.wall_ms()))) return false;
  if (record->home == mine_ && !left_.load(std::memory_order_relaxed)) return true;
  ledger_->answer(call, rpc::detail_error(kMisdirected, "Session lives elsewhere"));
  return false;
}

bool Homes::keep(const std::shared_ptr<Call>& call, Sessions::Record& record, Result<Sessions::Record> known) {
  if (!known) {
    ledger_->answer(call, rpc::backend_down(id_of(*call), "the session store is not available", rpc::Origin::kModule));
    return false;
  }
  if (*known == nullptr) {
    ledger_->answer(call, rpc::detail_error(404, "Session not found"));
    return false;
  }
  record = std::move(*known);
  return true;
}

bool Homes::take(const std::shared_ptr<Call>& call, Sessions::Record& record, const std::string& expected) {
  return keep(call, record, sessions_.claim(record, expected, mine_));
}

bool Homes::settle(const std::shared_ptr<Call>& call, Sessions::Record& record, const Again& again, int tries) {
  // A worker that leaves claims nothing that others would have to wait for, but serves what has come to it.
  if (left_.load(std::memory_order_relaxed) && (record->home.empty() || record->home == mine_)) return true;
  // Workers of another machine are not reached from here: the session moves to where its client is.
  if ((record->home.empty() || machine_of(record->home) != machine_of(mine_)) && !take(call, record, record->home)) {
    return false;
  }
  if (record->home == mine_) return true;
  // It ran nowhere, and its home is there but out of reach, for want of descriptors perhaps: what can be done without
  // what lives there is done here.
  if (tries >= kMostTries) return true;
  relay_->send(call, ledger_, record->id, record->home,
               [self = shared_from_this(), call, record, again, tries](Relay::Outcome outcome) {
                 if (outcome != Relay::Outcome::kAnswered) self->relayed(call, record, again, tries + 1, outcome);
               });
  return false;
}

void Homes::relayed(const std::shared_ptr<Call>& call, Sessions::Record record, const Again& again, int tries,
                    Relay::Outcome outcome) {
  switch (outcome) {
    case Relay::Outcome::kAnswered:
      return;
    case Relay::Outcome::kGivenUp:
      return ledger_->answer(
          call, rpc::backend_down(id_of(*call), "the session's worker did not answer in time", rpc::Origin::kModule));
    case Relay::Outcome::kNotReached:
      if (!take(call, record, record->home)) return;
      break;
    case Relay::Outcome::kNotHome:
      if (!keep(call, record, sessions_.look_again(record->id, clock_.wall_ms()))) return;
      break;
    case Relay::Outcome::kBroken:
      // Whoever serves it next must know that it may have run. Its worker may live on: it is asked before the session
      // is claimed.
      call->request().retry = true;
      break;
  }
  if (settle(call, record, again, tries)) again(record);
}

void Homes::leave() {
  if (mine_.empty()) return;
  left_.store(true, std::memory_order_relaxed);
  // What cannot be written heals: the next worker finds nobody here.
  static_cast<void>(sessions_.release(mine_).ok());
}

}  // namespace ringside::worker
