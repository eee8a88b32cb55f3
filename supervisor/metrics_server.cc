#include "supervisor/metrics_server.h"

#include <utility>

#include "supervisor/metrics_page.h"

namespace ringside::supervisor {
namespace {

mcp::Response answer(const mcp::Request& request, const control::v1::StatusResponse& status, const Clock& clock) {
  mcp::Response response;
  if (request.path != "/metrics" && request.path != "/") {
    response.status = 404;
    return response;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.headers.set("allow", "GET");
    return response;
  }
  response.headers.set("content-type", "text/plain; version=0.0.4; charset=utf-8");
  response.body = metrics_page(status, static_cast<double>(clock.wall_ms()) / 1000);
  return response;
}

}  // namespace

MetricsServer::MetricsServer(std::function<control::v1::StatusResponse()> look, const Clock& clock)
    : server_({.max_body_bytes = 4096}, [look = std::move(look), &clock](const mcp::Request& request,
                                                                         const std::shared_ptr<http::Responder>& to) {
        to->respond(answer(request, look(), clock));
      }) {}

Status MetricsServer::listen(std::uint16_t port) {
  RS_TRY(server_.listen_loopback(port));
  return {};
}

}  // namespace ringside::supervisor
