#include "client/cpp/repeat.h"

#include "mcp/repeat.h"
#include "rpc/errors.h"

namespace ringside {

Answer given_up(const Request& lost, Error failure) {
  if (lost.method == "DELETE") return failure;
  mcp::EnvelopeReader reader;
  mcp::Envelope envelope;
  // What is no message at all is refused before anything runs.
  if (reader.read(lost.body, envelope) != mcp::EnvelopeFault::kNone) return failure;
  if (mcp::repeat_of(envelope) == mcp::Repeat::kSafe) return failure;
  return rpc::outcome_unknown(envelope.id);
}

}  // namespace ringside
