#include "client/cpp/repeat.h"

#include <utility>

#include "mcp/repeat.h"
#include "rpc/errors.h"

namespace ringside {
namespace {

constexpr int kMostDeaths = 4;
constexpr int kMostTurnedAway = 32;

}  // namespace

std::optional<Request> Tries::to_send_again(Outcome& outcome) {
  if (outcome.unsent) {
    if (++turned_away_ >= kMostTurnedAway) return std::nullopt;
    return std::exchange(outcome.unsent, std::nullopt);
  }
  if (!outcome.lost || ++deaths_ >= kMostDeaths) return std::nullopt;
  outcome.lost->retry = true;
  return std::exchange(outcome.lost, std::nullopt);
}

Answer given_up(const Request& lost, Error failure) {
  if (lost.method == "DELETE") return failure;
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  // What is no message at all is refused before anything runs.
  if (reader.read(lost.body, envelope) != mcp::EnvelopeFault::kNone) return failure;
  if (mcp::repeat_of(envelope) == mcp::Repeat::kSafe) return failure;
  return rpc::outcome_unknown(envelope.id);
}

Answer final_answer(Outcome& outcome) {
  if (outcome.lost) return given_up(*outcome.lost, outcome.answer.error());
  if (outcome.unsent && outcome.unsent->retry) return given_up(*outcome.unsent, outcome.answer.error());
  return std::move(outcome.answer);
}

Answer without_worker(const Request& request, Error failure) {
  if (request.retry) return given_up(request, failure);
  return failure;
}

}  // namespace ringside
