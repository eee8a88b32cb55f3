// A POST: what its message asks for, and which worker is to serve it.

#include <optional>
#include <utility>

#include "base/random.h"
#include "mcp/repeat.h"
#include "rpc/errors.h"
#include "worker/runtime/batch.h"
#include "worker/runtime/era.h"
#include "worker/runtime/front.h"
#include "worker/runtime/state.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kNoSession = "A session is needed: send initialize, then its Mcp-Session-Id header";

mcp::Response invalid_request() { return rpc::jsonrpc_error(400, {}, mcp::kInvalidRequestCode, "Invalid Request"); }

mcp::Response fault_response(mcp::EnvelopeFault fault) {
  switch (fault) {
    case mcp::EnvelopeFault::kParse:
      return rpc::jsonrpc_error(400, {}, mcp::kParseErrorCode, "Parse error");
    case mcp::EnvelopeFault::kBatch:
      return rpc::jsonrpc_error(400, {}, mcp::kInvalidRequestCode, "Batch requests are not supported");
    default:
      return invalid_request();
  }
}

}  // namespace

void Runtime::State::serve_post(const CallRef& call, const mcp::Caller& caller, std::int64_t now_ms) {
  // One reader a thread, which keeps its memory warm. Neither is looked at once the call is answered, so that a door
  // may serve its next call from inside an answer.
  thread_local mcp::EnvelopeReader reader;
  thread_local mcp::Envelope envelope;
  const mcp::Request& request = call->request();
  const mcp::EnvelopeFault fault = reader.read(request.body, envelope);
  if (fault == mcp::EnvelopeFault::kBatch) return serve_batch(call, envelope, reader, caller, now_ms);
  if (fault != mcp::EnvelopeFault::kNone) return answer(call, fault_response(fault));
  if (!admit(call, envelope, caller)) return;
  if (envelope.kind == mcp::Envelope::Kind::kRequest && envelope.method == "initialize") {
    return initialize(call, envelope, reader, caller, now_ms);
  }
  Sessions::Record session;
  if (const std::string id = mcp::find_session_id(request); !id.empty()) {
    const SessionOutcome outcome = enter(request, id, caller, now_ms, session);
    if (outcome == SessionOutcome::kUnavailable) {
      return answer(call, rpc::backend_down(envelope.id, kStoreDown, rpc::Origin::kModule));
    }
    if (auto refusal = refuse_session(outcome)) return answer(call, std::move(*refusal));
  } else if (request.from_edge && options.edge_requires_session && envelope.method != "server/discover") {
    return answer(call, rpc::jsonrpc_error(400, envelope.id, mcp::kInvalidRequestCode, kNoSession));
  }
  serve_message(call, envelope, reader, caller, std::move(session));
}

bool Runtime::State::admit(const CallRef& call, const mcp::Envelope& envelope, const mcp::Caller& caller) {
  const mcp::Request& request = call->request();
  const bool asks = envelope.kind == mcp::Envelope::Kind::kRequest;
  call->notes().method = asks                                                  ? method_of(envelope.method)
                         : envelope.kind == mcp::Envelope::Kind::kNotification ? Method::kNotification
                                                                               : Method::kOther;
  // What is relayed has been admitted where it came in.
  if (!asks || request.relayed) return true;
  const auto now_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(clock.now().time_since_epoch()).count());
  auto ticket = admissions->admit(
      {static_cast<std::uint32_t>(call->door()), caller.owner, envelope.method, trace_of(request), now_ns});
  if (ticket == nullptr) {
    answer(call, too_many_calls());
    return false;
  }
  call->hold(std::move(ticket));
  return true;
}

void Runtime::State::serve_batch(const CallRef& call, mcp::Envelope& envelope, mcp::EnvelopeReader& reader,
                                 const mcp::Caller& caller, std::int64_t now_ms) {
  const mcp::Request& request = call->request();
  Sessions::Record session;
  if (const std::string id = mcp::find_session_id(request); !id.empty()) {
    if (auto refusal = refuse_session(enter(request, id, caller, now_ms, session))) {
      return answer(call, std::move(*refusal));
    }
  }
  if (session == nullptr || session->protocol_version != kBatchVersion) {
    return answer(call, fault_response(mcp::EnvelopeFault::kBatch));
  }
  auto parts = read_batch(request.body, reader, envelope);
  if (!parts) return answer(call, rpc::jsonrpc_error(400, {}, mcp::kInvalidRequestCode, parts.error().message));
  const auto batch = std::make_shared<Batch>(call, ledger, options.max_body_bytes);
  for (const CallRef& part : batch->split(std::move(*parts))) {
    ledger->begin(*part);
    if (const auto fault = reader.read(part->request().body, envelope); fault != mcp::EnvelopeFault::kNone) {
      answer(part, invalid_request());
    } else if (admit(part, envelope, caller)) {
      serve_message(part, envelope, reader, caller, session);
    }
  }
}

void Runtime::State::serve_message(const CallRef& call, const mcp::Envelope& envelope,
                                   const mcp::EnvelopeReader& reader, const mcp::Caller& caller,
                                   Sessions::Record session) {
  if (envelope.kind == mcp::Envelope::Kind::kRequest) {
    return serve_request(call, envelope, reader, caller, std::move(session));
  }
  // Without a session nobody waits to hear it. Nobody else need hear that a client is ready, either.
  const bool is_notification = envelope.kind == mcp::Envelope::Kind::kNotification;
  if (is_notification && (session == nullptr || envelope.method == "notifications/initialized")) {
    return answer(call, empty_response(202));
  }
  // An answer to a question; but nobody was asked.
  if (session == nullptr) return answer(call, invalid_request());
  go_home(call, envelope, reader, std::move(session));
}

void Runtime::State::serve_request(const CallRef& call, const mcp::Envelope& envelope,
                                   const mcp::EnvelopeReader& reader, const mcp::Caller& caller,
                                   Sessions::Record session) {
  const mcp::Request& request = call->request();
  if (auto refusal = refuse_other_era(envelope, reader)) return answer(call, std::move(*refusal));
  if (!request.relayed && !federation->may(request.server_id, envelope.method, caller)) {
    return answer(call, rpc::jsonrpc_error(403, envelope.id, mcp::kAccessDeniedCode, "Access denied"));
  }
  if (request.retry && mcp::repeat_of(envelope) == mcp::Repeat::kNever) {
    return answer(call, rpc::outcome_unknown(envelope.id));
  }
  if (envelope.method == "ping") return answer(call, result_response(envelope.id, "{}"));
  if (const auto listing = Forward::listing_of(envelope.method)) {
    return forward->list(call, *listing, envelope, reader);
  }
  if (!Forward::forwards(envelope.method)) {
    const std::string message = "Method not found: " + std::string(brief(envelope.method));
    return answer(call, rpc::jsonrpc_error(200, envelope.id, mcp::kMethodNotFoundCode, message));
  }
  if (session == nullptr) return forward->send(call, envelope, reader, nullptr);
  go_home(call, envelope, reader, std::move(session));
}

void Runtime::State::go_home(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                             Sessions::Record session) {
  const bool here = homes->is_here(call, session, [weak = weak_from_this(), call](const Sessions::Record& record) {
    if (const auto self = weak.lock()) self->serve_after_all(call, record);
  });
  if (here) serve_at_home(call, envelope, reader, session);
}

void Runtime::State::serve_after_all(const CallRef& call, const Sessions::Record& session) {
  thread_local mcp::EnvelopeReader reader;
  thread_local mcp::Envelope envelope;
  const mcp::Request& request = call->request();
  if (const auto fault = reader.read(request.body, envelope); fault != mcp::EnvelopeFault::kNone) {
    return answer(call, fault_response(fault));
  }
  if (request.retry && envelope.kind == mcp::Envelope::Kind::kRequest &&
      mcp::repeat_of(envelope) == mcp::Repeat::kNever) {
    return answer(call, rpc::outcome_unknown(envelope.id));
  }
  serve_at_home(call, envelope, reader, session);
}

void Runtime::State::serve_at_home(const CallRef& call, const mcp::Envelope& envelope,
                                   const mcp::EnvelopeReader& reader, const Sessions::Record& session) {
  switch (envelope.kind) {
    case mcp::Envelope::Kind::kRequest:
      return forward->send(call, envelope, reader, session);
    case mcp::Envelope::Kind::kNotification:
      hear_client(*session, envelope, reader, call->request().body);
      return answer(call, empty_response(202));
    case mcp::Envelope::Kind::kResponse:
      break;
  }
  auto asker = questions->answer(session->id, envelope.id, call->request().body);
  if (!asker) return answer(call, invalid_request());
  backends->reply(asker->upstream, asker->persona, std::move(asker->message));
  answer(call, empty_response(202));
}

void Runtime::State::hear_client(const mcp::SessionRecord& session, const mcp::Envelope& envelope,
                                 const mcp::EnvelopeReader& reader, std::string message) {
  if (envelope.method == "notifications/cancelled") {
    const auto id = reader.param("requestId");
    if (id.ok() && *id) under_way->cancel(session.id, **id);
    return;
  }
  if (envelope.method == "notifications/progress") {
    const auto token = reader.param("progressToken");
    if (!token.ok() || !*token) return;
    if (auto asker = questions->progress(session.id, **token, std::move(message))) {
      backends->notify(asker->upstream, asker->persona, std::move(asker->message));
    }
    return;
  }
  const PersonaRef persona = forward->persona_of(session);
  for (const std::size_t upstream : residents->spoken_to(session.id)) backends->notify(upstream, persona, message);
}

void Runtime::State::initialize(const CallRef& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                                const mcp::Caller& caller, std::int64_t now_ms) {
  const mcp::Request& request = call->request();
  Initialize asked;
  if (auto refusal = read_initialize(envelope, reader, asked)) return answer(call, std::move(*refusal));
  std::string id = mcp::find_session_id(request);
  if (id.empty()) id = std::move(asked.session_id);
  if (id.empty()) id = random_uuid4();
  if (!mcp::is_valid_session_id(id)) return answer(call, bad_params(envelope.id, "Invalid params"));
  switch (sessions.open(id, request.server_id, caller, asked.protocol_version, asked.client, now_ms)) {
    case SessionOutcome::kAdmitted:
      break;
    case SessionOutcome::kUnavailable:
      return answer(call, rpc::backend_down(envelope.id, kStoreDown, rpc::Origin::kModule));
    default:
      return answer(call, rpc::jsonrpc_error(200, envelope.id, mcp::kAccessDeniedCode, "Access denied"));
  }
  federation->introduce(request.server_id, [kept = ledger, version = options.version, call, asked = std::move(asked),
                                            id = std::move(id)](const Introduction& introduction) {
    mcp::Response response = initialized(asked, introduction, version);
    response.headers.set("mcp-session-id", id);
    kept->answer(call, std::move(response));
  });
}

}  // namespace ringside::worker
