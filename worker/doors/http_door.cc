#include "worker/doors/http_door.h"

#include <atomic>
#include <charconv>
#include <string>
#include <utility>

#include "http/server.h"
#include "mcp/envelope.h"
#include "rpc/errors.h"
#include "worker/doors/http_call.h"

namespace ringside::worker {
namespace {

/// What the contract's McpRequest states in fields of its own has a header here. That is fit for http.sock, whose peers
/// the supervisor has checked: they are the gateway; the edge (edge_door.h) drops them. False when a header says what
/// its field could not hold.
bool read_fields(mcp::Request& request) {
  request.auth_encoded = request.headers.get(mcp::kAuthContextHeader);
  request.server_id = request.headers.get(mcp::kServerIdHeader);
  request.retry = request.headers.get(mcp::kRetryHeader) == "1";
  const std::string_view expires = request.headers.get(mcp::kAuthExpiresHeader);
  if (expires.empty()) return true;
  const char* const end = expires.data() + expires.size();
  const auto [stop, error] = std::from_chars(expires.data(), end, request.auth_expires_ms);
  return error == std::errc() && stop == end;
}

}  // namespace

struct HttpDoor::State {
  explicit State(Runtime& runtime_in)
      : runtime(runtime_in),
        server({.max_body_bytes = runtime_in.options().max_body_bytes},
               [this](mcp::Request request, std::shared_ptr<http::Responder> responder) {
                 handle(std::move(request), std::move(responder));
               }) {}

  void handle(mcp::Request request, std::shared_ptr<http::Responder> responder) {
    if (request.path == "/health")
      return responder->respond(probe(request, [](Health health) { return health == Health::kOk; }));
    if (request.path == "/ready") return responder->respond(probe(request, is_ready));
    if (request.path == "/live") return responder->respond(probe(request, [](Health) { return true; }));
    if (!read_fields(request)) return responder->respond(rpc::detail_error(400, "Invalid auth context"));
    HttpCall::start(runtime, std::move(request), std::move(responder));
  }

  /// 200 where `fine` says so, else 503; how this worker is stands in the body either way.
  [[nodiscard]] mcp::Response probe(const mcp::Request& request, bool (*fine)(Health)) const {
    if (request.method != "GET") return rpc::not_allowed("GET");
    const Health health = draining.load(std::memory_order_relaxed) ? Health::kDraining : runtime.ask_health();
    mcp::Response response;
    response.status = fine(health) ? 200 : 503;
    response.headers.set("content-type", "application/json");
    response.body = R"({"status":")" + std::string(to_string(health)) + R"(","mode":)" +
                    mcp::encode_string(runtime.options().mode) + R"(,"version":)" +
                    mcp::encode_string(runtime.options().version) + "}";
    return response;
  }

  Runtime& runtime;
  std::atomic<bool> draining{false};
  http::Server server;  // last: its thread uses the others
};

HttpDoor::HttpDoor(Runtime& runtime) : state_(std::make_unique<State>(runtime)) {}
HttpDoor::~HttpDoor() = default;

void HttpDoor::adopt(UniqueFd connection) { state_->server.adopt(std::move(connection)); }

void HttpDoor::run(std::function<void()> what) { state_->server.run(std::move(what)); }

void HttpDoor::announce_drain() { state_->draining.store(true, std::memory_order_relaxed); }

void HttpDoor::drain(std::function<void()> drained) {
  announce_drain();
  state_->server.drain(std::move(drained));
}

}  // namespace ringside::worker
