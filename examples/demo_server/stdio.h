#pragma once
// The stdio transport: a JSON-RPC message a line, requests on one descriptor, answers on another.

#include "examples/demo_server/request_log.h"
#include "examples/demo_server/server.h"

namespace ringside::demo {

/// Serves until `in` ends, then until what is under way is answered; or until `stop` (a signalfd, say) becomes
/// readable. The program's exit status.
int serve_stdio(Server& server, RequestLog& log, int in, int out, int stop);

}  // namespace ringside::demo
