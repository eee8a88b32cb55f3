#pragma once
// What all conversations with one Streamable HTTP upstream share. Held by each of them, so that what comes back late
// still finds it.

#include <utility>

#include "mcp/envelope.h"
#include "worker/upstream/conversation.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {

struct HttpHub {
  HttpHub(HttpUpstreamOptions options_in, HttpRoads& roads_in)
      : options(std::move(options_in)), roads(roads_in), tally(options.name, "http") {}

  const HttpUpstreamOptions options;
  HttpRoads& roads;
  Tally tally;
  Announcer announcer;
  mcp::EnvelopeReader call_reader;    ///< of the thread of roads.calls
  mcp::EnvelopeReader listen_reader;  ///< of the thread of roads.listen
};

}  // namespace ringside::worker
