#pragma once
// The Streamable HTTP transport: one endpoint, /mcp, on loopback. A call that reports progress is answered by a stream
// of events if its client accepts one, every other request by one JSON body.

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"
#include "examples/demo_server/request_log.h"
#include "examples/demo_server/server.h"
#include "http/server.h"

namespace ringside::demo {

class HttpFront {
 public:
  /// Both outlive the front.
  HttpFront(Server& server, RequestLog& log);
  HttpFront(const HttpFront&) = delete;
  HttpFront& operator=(const HttpFront&) = delete;

  /// Serves from now on; the port (0: any) that was bound.
  Result<std::uint16_t> listen(std::uint16_t port);

 private:
  void serve(const mcp::Request& request, const std::shared_ptr<http::Responder>& responder);
  void post(const mcp::Request& request, const std::shared_ptr<http::Responder>& responder);
  [[nodiscard]] bool has_session(const std::string& id);

  Server& server_;
  RequestLog& log_;
  std::mutex mutex_;
  std::set<std::string> sessions_;
  http::Server http_;  // last: its thread ends before the rest goes
};

}  // namespace ringside::demo
