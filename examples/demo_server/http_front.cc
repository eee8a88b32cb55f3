#include "examples/demo_server/http_front.h"

#include <utility>
#include <variant>

#include "base/random.h"
#include "mcp/session.h"
#include "mcp/sse.h"

namespace ringside::demo {
namespace {

mcp::Response json_response(int status, std::string body, const std::string& new_session = {}) {
  mcp::Response response;
  response.status = status;
  response.headers.set("content-type", "application/json");
  if (!new_session.empty()) response.headers.set("mcp-session-id", new_session);
  response.body = std::move(body);
  return response;
}

mcp::Response refusal(int status, std::string_view detail) {
  return json_response(status, R"({"detail":)" + mcp::encode_string(detail) + "}");
}

/// A web page of somewhere else must not reach a server on this machine (the specification's rule against DNS
/// rebinding).
bool is_local_origin(std::string_view origin) {
  const auto scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view host = origin.substr(scheme + 3);
  for (const std::string_view local : {"localhost", "127.0.0.1", "[::1]"}) {
    if (host == local || (host.starts_with(local) && host[local.size()] == ':')) return true;
  }
  return false;
}

/// Becomes a stream with its first notification, if the client accepts one; notifications are dropped otherwise.
class HttpReply final : public Reply {
 public:
  HttpReply(std::shared_ptr<http::Responder> responder, bool accepts_stream, std::string new_session)
      : responder_(std::move(responder)), accepts_stream_(accepts_stream), new_session_(std::move(new_session)) {}

  void notify(const std::string& message) override {
    if (!accepts_stream_) return;
    if (!std::exchange(streaming_, true)) {
      mcp::Headers headers;
      headers.set("content-type", "text/event-stream");
      headers.set("cache-control", "no-cache");
      responder_->begin(200, std::move(headers));
    }
    responder_->write(mcp::format_sse(message));
  }

  void answer(const std::string& message) override {
    if (!streaming_) return responder_->respond(json_response(200, message, new_session_));
    responder_->write(mcp::format_sse(message));
    responder_->end();
  }

 private:
  std::shared_ptr<http::Responder> responder_;
  bool accepts_stream_;
  std::string new_session_;
  bool streaming_ = false;
};

}  // namespace

HttpFront::HttpFront(Server& server, RequestLog& log)
    : server_(server),
      log_(log),
      http_({}, [this](const mcp::Request& request, const auto& responder) { serve(request, responder); }) {}

Result<std::uint16_t> HttpFront::listen(std::uint16_t port) { return http_.listen_loopback(port); }

void HttpFront::serve(const mcp::Request& request, const std::shared_ptr<http::Responder>& responder) {
  const std::string* origin = request.headers.find("origin");
  if (origin != nullptr && !is_local_origin(*origin)) return responder->respond(refusal(403, "Origin not allowed"));
  if (request.path != "/mcp") return responder->respond(refusal(404, "Not found"));
  const std::string* version = request.headers.find("mcp-protocol-version");
  if (version != nullptr && !mcp::is_supported_version(*version)) {
    return responder->respond(refusal(400, "Unsupported protocol version"));
  }
  if (request.method == "POST") return post(request, responder);
  if (request.method == "DELETE") {
    const std::lock_guard lock(mutex_);
    const bool known = sessions_.erase(std::string(request.headers.get("mcp-session-id"))) == 1;
    return responder->respond(known ? mcp::Response{204, {}, {}} : refusal(404, "Session not found"));
  }
  // No GET: this server says nothing that was not asked for.
  mcp::Response response = refusal(405, "Method not allowed");
  response.headers.set("allow", "POST, DELETE");
  responder->respond(std::move(response));
}

void HttpFront::post(const mcp::Request& request, const std::shared_ptr<http::Responder>& responder) {
  log_.record(request.body);
  const auto read = read_message(request.body);
  if (const auto* malformed = std::get_if<Malformed>(&read)) {
    return responder->respond(json_response(400, malformed->answer));
  }
  const auto& message = std::get<Message>(read);
  std::string session(request.headers.get("mcp-session-id"));
  std::string new_session;
  if (message.method == "initialize") {
    session = new_session = random_uuid4();
    const std::lock_guard lock(mutex_);
    sessions_.insert(session);
  } else if (session.empty()) {
    return responder->respond(refusal(400, "mcp-session-id is missing"));
  } else if (!has_session(session)) {
    return responder->respond(refusal(404, "Session not found"));
  }
  if (message.kind != mcp::Envelope::Kind::kRequest) {
    server_.serve(message, session, nullptr);
    return responder->respond({202, {}, {}});
  }
  responder->on_gone([this, session, id = message.id] { server_.cancel(session, id); });
  const bool accepts_stream = request.headers.get("accept").find("text/event-stream") != std::string_view::npos;
  server_.serve(message, session, std::make_shared<HttpReply>(responder, accepts_stream, new_session));
}

bool HttpFront::has_session(const std::string& id) {
  const std::lock_guard lock(mutex_);
  return sessions_.contains(id);
}

}  // namespace ringside::demo
