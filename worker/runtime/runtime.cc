#include "worker/runtime/runtime.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/random.h"
#include "mcp/envelope.h"
#include "mcp/repeat.h"
#include "mcp/session.h"
#include "rpc/errors.h"
#include "worker/federation/catalog_cache.h"
#include "worker/runtime/forward.h"
#include "worker/runtime/front.h"
#include "worker/runtime/ledger.h"
#include "worker/runtime/listeners.h"
#include "worker/runtime/sessions.h"
#include "worker/runtime/store_watch.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kEchoPath = "/_ringside/echo";
constexpr std::string_view kToolsChanged = R"({"jsonrpc":"2.0","method":"notifications/tools/list_changed"})";
constexpr auto kLookEvery = std::chrono::seconds(60);  // for sessions that expired
// At an upstream that has failed: after the first, doubling to the second.
constexpr Duration kLookAgainFirst = std::chrono::seconds(1);
constexpr Duration kLookAgainMost = std::chrono::seconds(30);
constexpr std::string_view kNoSession = "A session is needed: send initialize, then its Mcp-Session-Id header";
constexpr std::string_view kStoreDown = "the session store is not available";

mcp::Response invalid_request() { return rpc::jsonrpc_error(400, {}, mcp::kInvalidRequestCode, "Invalid Request"); }

mcp::Response bad_params(std::string_view raw_id, std::string_view message) {
  return rpc::jsonrpc_error(200, raw_id, mcp::kInvalidParamsCode, message);
}

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

/// What a request gets whose session does not admit it; nothing when it does.
std::optional<mcp::Response> refuse_session(SessionOutcome outcome) {
  switch (outcome) {
    case SessionOutcome::kAdmitted:
      return std::nullopt;
    case SessionOutcome::kUnknown:
      return rpc::detail_error(404, "Session not found");
    case SessionOutcome::kDenied:
      return rpc::detail_error(403, "Session access denied");
    case SessionOutcome::kExpired:
      return rpc::detail_error(401, "Auth context expired");
    case SessionOutcome::kUnavailable:
      break;
  }
  return rpc::backend_down({}, kStoreDown, rpc::Origin::kModule);
}

mcp::Response empty_response(int status) {
  mcp::Response response;
  response.status = status;
  return response;
}

/// What initialize asks for.
struct Initialize {
  std::string protocol_version;  ///< negotiated
  std::string session_id;        ///< of the params; empty: none
};

/// Reads the params, or says what is wrong with them.
std::optional<mcp::Response> read_initialize(const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                                             Initialize& asked) {
  const auto invalid = [&] { return bad_params(envelope.id, "Invalid params"); };
  if (!envelope.params.empty() && envelope.params.front() != '{') return invalid();
  const auto version = reader.param("protocolVersion");
  if (!version) return invalid();
  if (!*version) return bad_params(envelope.id, "Missing protocolVersion");
  auto decoded = mcp::decode_string(**version);
  if (!decoded) return invalid();
  if (!mcp::is_well_formed_version(*decoded)) {
    return bad_params(envelope.id, "Unsupported protocolVersion: " + std::string(brief(*decoded)));
  }
  for (const std::string_view key : {"capabilities", "clientInfo"}) {
    const auto value = reader.param(key);
    if (!value || (*value && !(*value)->starts_with('{'))) return invalid();
  }
  for (const std::string_view key : {"session_id", "sessionId"}) {
    const auto value = reader.param(key);
    if (!value) return invalid();
    if (!*value || !asked.session_id.empty()) continue;
    auto id = mcp::decode_string(**value);
    if (!id) return invalid();
    asked.session_id = std::move(*id);
  }
  asked.protocol_version =
      mcp::is_supported_version(*decoded) ? std::move(*decoded) : std::string(mcp::kProtocolVersions[0]);
  return std::nullopt;
}

}  // namespace

struct Runtime::State {
  State(RuntimeOptions options_in, const Clock& clock_in, std::unique_ptr<SessionStore> store,
        std::vector<std::unique_ptr<Upstream>> upstreams, const std::atomic<std::uint64_t>& epoch_in,
        Invalidate invalidate_in)
      : options(std::move(options_in)),
        clock(clock_in),
        invalidate(std::move(invalidate_in)),
        ledger(std::make_shared<Ledger>(LedgerOptions{options.slow_call, options.id_seed}, clock)),
        sessions(options.session_ttl_ms, std::move(store), epoch_in),
        epoch(epoch_in),
        backends(std::make_shared<Backends>(std::move(upstreams))),
        catalog(std::make_shared<CatalogCache>(
            CatalogOptions{.ttl = options.catalog_ttl, .fetch_timeout = options.call_timeout}, clock, backends)),
        forward(
            std::make_shared<Forward>(options.call_timeout, options.max_body_bytes, clock, backends, catalog, ledger)) {
    backends->on_tools_changed(
        [weak = std::weak_ptr(catalog), weak_listeners = std::weak_ptr(listeners)](std::size_t upstream) {
          const auto cache = weak.lock();
          if (cache == nullptr) return;
          const std::uint64_t news = cache->invalidate(upstream);
          if (const auto all = weak_listeners.lock()) all->tell_all(kToolsChanged, news);
        });
  }

  const RuntimeOptions options;
  const Clock& clock;
  const Invalidate invalidate;
  const std::shared_ptr<Ledger> ledger;
  const std::shared_ptr<Admissions> admissions = std::make_shared<Admissions>(options.admissions);
  Sessions sessions;
  const std::atomic<std::uint64_t>& epoch;
  const std::shared_ptr<Listeners> listeners = std::make_shared<Listeners>(ledger);
  const std::shared_ptr<Backends> backends;
  const std::shared_ptr<CatalogCache> catalog;
  const std::shared_ptr<Forward> forward;
  std::unique_ptr<StoreWatch> store_watch;         // after the sessions, which it asks
  mutable std::atomic<bool> asked_health = false;  // somebody wants to know how the upstreams are

  void serve(const std::shared_ptr<Call>& call);
  void look_after_streams();
  void look_after_upstreams();
  [[nodiscard]] Health health() const;
  void answer(const std::shared_ptr<Call>& call, mcp::Response response) { ledger->answer(call, std::move(response)); }

 private:
  void serve_post(const std::shared_ptr<Call>& call, const mcp::Caller& caller, std::int64_t now_ms);
  void serve_get(const std::shared_ptr<Call>& call, const mcp::Caller& caller, std::int64_t now_ms);
  void serve_delete(const std::shared_ptr<Call>& call, const mcp::Caller& caller, std::int64_t now_ms);
  void dispatch(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader);
  mcp::Response initialize(const mcp::Request& request, const mcp::Envelope& envelope,
                           const mcp::EnvelopeReader& reader, const mcp::Caller& caller, std::int64_t now_ms);

  // Of look_after_streams(), which one thread calls.
  std::uint64_t looked_epoch_ = 0;
  SteadyTime look_by_{};
  bool looking_ = false;  // not all sessions have been asked of
  struct Look {
    SteadyTime at{};
    Duration again = kLookAgainFirst;
  };
  std::vector<Look> looks_;  // by upstream
};

Health Runtime::State::health() const {
  if (store_watch && !store_watch->good()) return Health::kNotReady;
  const auto all = backends->statuses();
  const bool none =
      !all.empty() && std::all_of(all.begin(), all.end(), [](const auto& each) { return each.state == "failed"; });
  return none ? Health::kDegraded : Health::kOk;
}

void Runtime::State::look_after_upstreams() {
  const SteadyTime now = clock.now();
  const bool asked = asked_health.load(std::memory_order_relaxed);
  const auto all = backends->statuses();
  looks_.resize(all.size());
  for (std::size_t index = 0; index < all.size(); ++index) {
    const bool failed = all[index].state == "failed";
    Look& look = looks_[index];
    if (!failed) look.again = kLookAgainFirst;
    if ((!failed && !(asked && all[index].state == "idle")) || now < look.at) continue;
    look.at = now + look.again;
    look.again = std::min(2 * look.again, kLookAgainMost);
    catalog->look_at(index);
  }
}

void Runtime::State::serve(const std::shared_ptr<Call>& call) {
  ledger->begin(*call);
  mcp::Request& request = call->request();
  if (options.transport_echo && request.path == kEchoPath && request.method == "POST") {
    mcp::Response echo;
    echo.body = std::move(request.body);
    return answer(call, std::move(echo));
  }
  if (auto refusal = refuse_head(request, options.max_body_bytes)) return answer(call, std::move(*refusal));
  const std::int64_t now_ms = clock.wall_ms();
  const auto caller = mcp::caller_of(request, now_ms);
  if (!caller) {
    const bool expired = caller.error().code == Code::kTimeout;
    return answer(call, expired ? rpc::detail_error(401, "Auth context expired")
                                : rpc::detail_error(400, "Invalid auth context"));
  }
  if (request.method == "POST") return serve_post(call, *caller, now_ms);
  call->notes().method = request.method == "DELETE" ? Method::kEnd : Method::kListen;
  if (request.method == "DELETE") return serve_delete(call, *caller, now_ms);
  serve_get(call, *caller, now_ms);
}

void Runtime::State::serve_get(const std::shared_ptr<Call>& call, const mcp::Caller& caller, std::int64_t now_ms) {
  const mcp::Request& request = call->request();
  const std::string id = mcp::find_session_id(request);
  if (id.empty() || request.method != "GET" || !call->streams()) return answer(call, refuse_method(!id.empty()));
  if (auto refusal = refuse_session(sessions.enter(id, request.server_id, caller, now_ms))) {
    return answer(call, std::move(*refusal));
  }
  listeners->add(call, id);
}

void Runtime::State::look_after_streams() {
  const std::uint64_t now_epoch = epoch.load(std::memory_order_acquire);
  const SteadyTime now = clock.now();
  looking_ = looking_ || now_epoch != looked_epoch_ || now >= look_by_;
  if (!looking_) return;
  looked_epoch_ = now_epoch;
  look_by_ = now + kLookEvery;
  looking_ = !listeners->end_sessions(
      [this, now_ms = clock.wall_ms()](const std::string& session) { return sessions.gone(session, now_ms); });
}

void Runtime::State::serve_delete(const std::shared_ptr<Call>& call, const mcp::Caller& caller, std::int64_t now_ms) {
  const mcp::Request& request = call->request();
  const std::string id = mcp::find_session_id(request);
  if (id.empty()) return answer(call, refuse_method(false));
  SessionOutcome outcome = sessions.enter(id, request.server_id, caller, now_ms);
  if (outcome == SessionOutcome::kAdmitted) {
    outcome = sessions.erase(id);
    listeners->end_session(id);
  }
  // The first try has ended it.
  if (outcome == SessionOutcome::kUnknown && request.retry) return answer(call, empty_response(204));
  if (auto refusal = refuse_session(outcome)) return answer(call, std::move(*refusal));
  // Every worker must know before the client does: its next call may go to any of them.
  invalidate([kept = ledger, call] { kept->answer(call, empty_response(204)); });
}

void Runtime::State::serve_post(const std::shared_ptr<Call>& call, const mcp::Caller& caller, std::int64_t now_ms) {
  // One reader a thread, which keeps its memory warm. Neither is looked at once the call is answered, so that a door
  // may serve its next call from inside an answer.
  thread_local mcp::EnvelopeReader reader;
  thread_local mcp::Envelope envelope;
  const mcp::Request& request = call->request();
  const mcp::EnvelopeFault fault = reader.read(request.body, envelope);
  if (fault != mcp::EnvelopeFault::kNone) return answer(call, fault_response(fault));
  call->notes().method = envelope.kind == mcp::Envelope::Kind::kNotification ? Method::kNotification
                         : envelope.kind == mcp::Envelope::Kind::kRequest    ? method_of(envelope.method)
                                                                             : Method::kOther;
  if (envelope.kind == mcp::Envelope::Kind::kRequest) {
    const auto now_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(clock.now().time_since_epoch()).count());
    auto ticket = admissions->admit(
        {static_cast<std::uint32_t>(call->door()), caller.owner, envelope.method, trace_of(request), now_ns});
    if (ticket == nullptr) return answer(call, too_many_calls());
    call->hold(std::move(ticket));
  }
  if (envelope.kind == mcp::Envelope::Kind::kRequest && envelope.method == "initialize") {
    return answer(call, initialize(request, envelope, reader, caller, now_ms));
  }
  if (const std::string id = mcp::find_session_id(request); !id.empty()) {
    const SessionOutcome outcome = sessions.enter(id, request.server_id, caller, now_ms);
    if (outcome == SessionOutcome::kUnavailable) {
      return answer(call, rpc::backend_down(envelope.id, kStoreDown, rpc::Origin::kModule));
    }
    if (auto refusal = refuse_session(outcome)) return answer(call, std::move(*refusal));
  } else if (request.from_edge && options.edge_requires_session && envelope.method != "server/discover") {
    return answer(call, rpc::jsonrpc_error(400, envelope.id, mcp::kInvalidRequestCode, kNoSession));
  }
  dispatch(call, envelope, reader);
}

void Runtime::State::dispatch(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope,
                              const mcp::EnvelopeReader& reader) {
  if (envelope.kind == mcp::Envelope::Kind::kNotification) return answer(call, empty_response(202));
  if (call->request().retry && mcp::repeat_of(envelope) == mcp::Repeat::kNever) {
    return answer(call, rpc::outcome_unknown(envelope.id));
  }
  // An answer to a question of ours; but we ask none.
  if (envelope.kind == mcp::Envelope::Kind::kResponse) return answer(call, invalid_request());
  if (envelope.method == "ping") return answer(call, result_response(envelope.id, "{}"));
  if (envelope.method == "tools/call") return forward->call_tool(call, envelope, reader);
  if (envelope.method == "tools/list") return forward->list_tools(call, envelope, reader);
  const std::string message = "Method not found: " + std::string(brief(envelope.method));
  answer(call, rpc::jsonrpc_error(200, envelope.id, mcp::kMethodNotFoundCode, message));
}

mcp::Response Runtime::State::initialize(const mcp::Request& request, const mcp::Envelope& envelope,
                                         const mcp::EnvelopeReader& reader, const mcp::Caller& caller,
                                         std::int64_t now_ms) {
  Initialize asked;
  if (auto refusal = read_initialize(envelope, reader, asked)) return std::move(*refusal);
  std::string id = mcp::find_session_id(request);
  if (id.empty()) id = std::move(asked.session_id);
  if (id.empty()) id = random_uuid4();
  if (!mcp::is_valid_session_id(id)) return bad_params(envelope.id, "Invalid params");
  switch (sessions.open(id, request.server_id, caller, asked.protocol_version, now_ms)) {
    case SessionOutcome::kAdmitted:
      break;
    case SessionOutcome::kUnavailable:
      return rpc::backend_down(envelope.id, kStoreDown, rpc::Origin::kModule);
    default:
      return rpc::jsonrpc_error(200, envelope.id, mcp::kAccessDeniedCode, "Access denied");
  }
  mcp::Response response = result_response(
      envelope.id, R"({"protocolVersion":)" + mcp::encode_string(asked.protocol_version) +
                       R"(,"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"ringside","version":)" +
                       mcp::encode_string(options.version) + "}}");
  response.headers.set("mcp-session-id", std::move(id));
  return response;
}

Runtime::Runtime(RuntimeOptions options, const Clock& clock, std::unique_ptr<SessionStore> store,
                 std::vector<std::unique_ptr<Upstream>> upstreams, const std::atomic<std::uint64_t>& epoch,
                 Invalidate invalidate)
    : state_(std::make_shared<State>(std::move(options), clock, std::move(store), std::move(upstreams), epoch,
                                     std::move(invalidate))) {}

Runtime::~Runtime() {
  state_->listeners->end_all();
  state_->backends->close();
}

void Runtime::serve(const std::shared_ptr<Call>& call) {
  // Kept to the end: once the call is answered its door may close, and the runtime go away, while this thread still
  // counts.
  const std::shared_ptr<State> state = state_;
  state->serve(call);
}

void Runtime::look_after_streams() { state_->look_after_streams(); }
void Runtime::look_after_upstreams() { state_->look_after_upstreams(); }
void Runtime::watch_store(Duration every) {
  state_->store_watch = std::make_unique<StoreWatch>([sessions = &state_->sessions] { return sessions->check_store(); },
                                                     every, state_->clock);
}
Health Runtime::health() const { return state_->health(); }
Health Runtime::ask_health() const {
  state_->asked_health.store(true, std::memory_order_relaxed);
  return state_->health();
}
void Runtime::end_streams() { state_->listeners->end_all(); }
const RuntimeOptions& Runtime::options() const { return state_->options; }
RuntimeStats Runtime::stats() const {
  RuntimeStats stats = state_->ledger->stats();
  stats.refused = state_->admissions->refused();
  return stats;
}
RuntimeMeters Runtime::meters() const {
  return {state_->ledger->meter().read(), state_->sessions.stats(), state_->listeners->open()};
}
std::vector<UpstreamStatus> Runtime::upstreams() const { return state_->backends->statuses(); }

}  // namespace ringside::worker
