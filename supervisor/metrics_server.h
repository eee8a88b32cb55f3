#pragma once
// GET /metrics, on connections of metrics.sock that the loop accepted, and on a loopback port where one is asked for.

#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "http/server.h"
#include "ringside/control/v1/control.pb.h"

namespace ringside::supervisor {

class MetricsServer {
 public:
  /// `look` says what is to be told, on the server's thread; it and `clock` outlive the server.
  MetricsServer(std::function<control::v1::StatusResponse()> look, const Clock& clock);

  /// Serves a connected, non-blocking stream socket.
  void adopt(UniqueFd connection) { server_.adopt(std::move(connection)); }
  /// Serves 127.0.0.1:`port` too. Once.
  Status listen(std::uint16_t port);

 private:
  http::Server server_;
};

}  // namespace ringside::supervisor
