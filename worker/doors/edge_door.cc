#include "worker/doors/edge_door.h"

#include <optional>
#include <utility>

#include "http/server.h"
#include "rpc/errors.h"
#include "worker/doors/bearer.h"
#include "worker/doors/http_call.h"

namespace ringside::worker {
namespace {

/// Headers that only a gateway, or one of our own processes, may send.
bool is_inner(std::string_view name) { return name.starts_with("x-contextforge-") || name.starts_with("x-ringside-"); }

/// The token has done its work at the door: a session must not end because it was rotated.
mcp::Headers without_inner(const mcp::Headers& headers, bool with_authorization) {
  mcp::Headers kept;
  for (const auto& [name, value] : headers) {
    if (!is_inner(name) && (with_authorization || name != "authorization")) kept.set(name, value);
  }
  return kept;
}

std::optional<mcp::Response> refuse_names(const mcp::Request& request, const http::EdgeNames& names) {
  if (!http::is_allowed_host(request.headers.get("host"), names)) return rpc::detail_error(403, "Host not allowed");
  const std::string* origin = request.headers.find("origin");
  if (origin != nullptr && !http::is_allowed_origin(*origin, names))
    return rpc::detail_error(403, "Origin not allowed");
  return std::nullopt;
}

mcp::Response unauthorized() {
  auto response = rpc::detail_error(401, "A bearer token is needed");
  response.headers.set("www-authenticate", "Bearer");
  return response;
}

}  // namespace

struct EdgeDoor::State {
  State(Runtime& runtime_in, http::EdgeNames names_in, std::shared_ptr<http::Tls> tls_in,
        std::unique_ptr<Bearer> bearer_in)
      : runtime(runtime_in),
        names(std::move(names_in)),
        tls(std::move(tls_in)),
        bearer(std::move(bearer_in)),
        server({.max_body_bytes = runtime_in.options().max_body_bytes, .tls = tls},
               [this](mcp::Request request, std::shared_ptr<http::Responder> responder) {
                 handle(std::move(request), std::move(responder));
               }) {}

  void handle(mcp::Request request, std::shared_ptr<http::Responder> responder) {
    if (auto refusal = refuse_names(request, names)) return responder->respond(std::move(*refusal));
    if (request.path == "/live") return responder->respond(live(request));
    if (bearer && !bearer->admits(request.headers.get("authorization"))) return responder->respond(unauthorized());
    request.headers = without_inner(request.headers, bearer == nullptr);
    request.from_edge = true;
    HttpCall::start(runtime, std::move(request), std::move(responder));
  }

  static mcp::Response live(const mcp::Request& request) {
    if (request.method != "GET" && request.method != "HEAD") return rpc::not_allowed("GET");
    mcp::Response response;
    response.headers.set("content-type", "application/json");
    response.body = R"({"status":"ok"})";
    return response;
  }

  Runtime& runtime;
  const http::EdgeNames names;
  const std::shared_ptr<http::Tls> tls;
  const std::unique_ptr<Bearer> bearer;
  http::Server server;  // last: its thread uses the others
};

Result<std::unique_ptr<EdgeDoor>> EdgeDoor::open(Runtime& runtime, EdgeDoorOptions options) {
  std::shared_ptr<http::Tls> tls;
  std::unique_ptr<Bearer> bearer;
  if (!options.tls.cert.empty()) tls = RS_TRY(http::Tls::open(std::move(options.tls)));
  if (!options.bearer_file.empty()) bearer = RS_TRY(Bearer::open(std::move(options.bearer_file)));
  return std::unique_ptr<EdgeDoor>(
      new EdgeDoor(std::make_unique<State>(runtime, std::move(options.names), std::move(tls), std::move(bearer))));
}

EdgeDoor::EdgeDoor(std::unique_ptr<State> state) : state_(std::move(state)) {}
EdgeDoor::~EdgeDoor() = default;

void EdgeDoor::adopt(UniqueFd connection, std::string peer_ip) {
  state_->server.adopt(std::move(connection), std::move(peer_ip));
}

void EdgeDoor::look_after_files() {
  if (state_->tls) state_->tls->look_again();
  if (state_->bearer) state_->bearer->look_again();
}

void EdgeDoor::run(std::function<void()> what) { state_->server.run(std::move(what)); }

void EdgeDoor::drain(std::function<void()> drained) { state_->server.drain(std::move(drained)); }

}  // namespace ringside::worker
