#include "worker/runtime/runtime.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mcp/envelope.h"
#include "mcp/session.h"
#include "rpc/errors.h"
#include "worker/runtime/front.h"
#include "worker/runtime/state.h"

namespace ringside::worker {
namespace {

constexpr std::string_view kEchoPath = "/_ringside/echo";
constexpr auto kLookEvery = std::chrono::seconds(60);  // for sessions that expired
// At an upstream that has failed: after the first, doubling to the second.
constexpr Duration kLookAgainFirst = std::chrono::seconds(1);
constexpr Duration kLookAgainMost = std::chrono::seconds(30);

}  // namespace

ForwardParts Runtime::State::forward_parts() {
  return {backends,
          federation,
          ledger,
          streams,
          notices,
          residents,
          under_way,
          [this](const std::string& session, const std::string& state) {
            // A failure is logged; the state is said again from memory as long as this worker lives.
            static_cast<void>(sessions.set_state(session, state).ok());
          }};
}

Health Runtime::State::health() const {
  if (store_watch && !store_watch->good()) return Health::kNotReady;
  const auto all = backends->statuses();
  const bool none =
      !all.empty() && std::all_of(all.begin(), all.end(), [](const auto& each) { return each.state == "failed"; });
  return none ? Health::kDegraded : Health::kOk;
}

void Runtime::State::look_after_upstreams() {
  if (options.mode == "off") return;  // nothing is asked for, so nothing is opened
  const SteadyTime now = clock.now();
  const bool asked = asked_health.load(std::memory_order_relaxed);
  const auto all = backends->statuses();
  looks_.resize(all.size());
  for (std::size_t index = 0; index < all.size(); ++index) {
    const bool failed = all[index].state == "failed";
    Look& look = looks_[index];
    if (!failed || look.again == Duration(0)) look.again = kLookAgainFirst;
    if ((!failed && !(asked && all[index].state == "idle")) || now < look.at) continue;
    look.at = now + look.again;
    look.again = std::min(2 * look.again, kLookAgainMost);
    federation->look_at(index);
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
  if (options.mode == "off") return answer(call, rpc::detail_error(503, "Ringside is off"));
  if (auto refusal = refuse_head(request, options.max_body_bytes)) return answer(call, std::move(*refusal));
  if (!federation->knows_server(request.server_id)) return answer(call, rpc::detail_error(404, "Server not found"));
  const std::int64_t now_ms = clock.wall_ms();
  const auto caller = mcp::caller_of(request, now_ms);
  if (!caller) return answer(call, refuse_caller(caller.error()));
  if (request.method == "POST") return serve_post(call, *caller, now_ms);
  call->notes().method = request.method == "DELETE" ? Method::kEnd : Method::kListen;
  if (request.method == "DELETE") return serve_delete(call, *caller, now_ms);
  serve_get(call, *caller, now_ms);
}

SessionOutcome Runtime::State::enter(const mcp::Request& request, const std::string& id, const mcp::Caller& caller,
                                     std::int64_t now_ms, Sessions::Record& record) {
  return request.relayed ? sessions.enter_admitted(id, now_ms, record)
                         : sessions.enter(id, request.server_id, caller, now_ms, record);
}

void Runtime::State::serve_get(const CallRef& call, const mcp::Caller& caller, std::int64_t now_ms) {
  const mcp::Request& request = call->request();
  const std::string id = mcp::find_session_id(request);
  if (id.empty() || request.method != "GET" || !call->streams()) return answer(call, refuse_method(!id.empty()));
  Sessions::Record session;
  if (auto refusal = refuse_session(enter(request, id, caller, now_ms, session))) {
    return answer(call, std::move(*refusal));
  }
  const bool here = homes->is_here(call, session, [weak = weak_from_this(), call](const Sessions::Record& record) {
    if (const auto self = weak.lock()) self->listen(call, record);
  });
  if (here) listen(call, session);
}

void Runtime::State::listen(const CallRef& call, const Sessions::Record& session) {
  if (const auto last = call->request().headers.get("last-event-id"); !last.empty()) {
    streams->resume(call, *session, std::string(last));
  } else if (!streams->listen(call, *session)) {
    return;
  }
  const PersonaRef persona = forward->persona_of(*session);
  for (const std::size_t upstream : residents->listens(session->id)) backends->listen(upstream, persona);
  for (std::size_t upstream = 0; upstream < backends->size(); ++upstream) backends->listen(upstream, nullptr);
}

void Runtime::State::look_after_streams() {
  const std::uint64_t now_epoch = epoch.load(std::memory_order_acquire);
  const SteadyTime now = clock.now();
  looking_ = looking_ || now_epoch != looked_epoch_ || now >= look_by_;
  if (!looking_) return;
  looked_epoch_ = now_epoch;
  look_by_ = now + kLookEvery;
  const std::int64_t now_ms = clock.wall_ms();
  const auto gone = [&](const std::string& session) { return has_ended(session, now_ms); };
  const bool streams_done = streams->end_sessions(gone);
  const auto names = residents->after(looked_, StreamBook::kMostAsked);
  for (const std::string& name : names) static_cast<void>(gone(name));
  looked_ = names.size() < StreamBook::kMostAsked ? std::string() : names.back();
  looking_ = !streams_done || !looked_.empty();
}

bool Runtime::State::has_ended(const std::string& session, std::int64_t now_ms) {
  if (!sessions.gone(session, now_ms)) return false;
  questions->end_session(session);
  residents->end_session(session);
  backends->end(session);
  return true;
}

void Runtime::State::serve_delete(const CallRef& call, const mcp::Caller& caller, std::int64_t now_ms) {
  const mcp::Request& request = call->request();
  const std::string id = mcp::find_session_id(request);
  if (id.empty()) return answer(call, refuse_method(false));
  Sessions::Record session;
  SessionOutcome outcome = sessions.enter(id, request.server_id, caller, now_ms, session);
  if (outcome == SessionOutcome::kAdmitted) {
    outcome = sessions.erase(id);
    // What lives in another worker ends when that hears of the new epoch.
    streams->end_session(id);
    questions->end_session(id);
    residents->end_session(id);
    backends->end(id);
  }
  // The first try has ended it.
  if (outcome == SessionOutcome::kUnknown && request.retry) return answer(call, empty_response(204));
  if (auto refusal = refuse_session(outcome)) return answer(call, std::move(*refusal));
  // Every worker must know before the client does: its next call may go to any of them.
  invalidate([kept = ledger, call] { kept->answer(call, empty_response(204)); });
}

Runtime::Runtime(RuntimeOptions options, const Clock& clock, Stores stores,
                 std::vector<std::unique_ptr<Upstream>> upstreams, const std::atomic<std::uint64_t>& epoch,
                 Invalidate invalidate)
    : state_(std::make_shared<State>(std::move(options), clock, std::move(stores), std::move(upstreams), epoch,
                                     std::move(invalidate))) {}

Runtime::~Runtime() {
  if (state_->options.relay) state_->options.relay->close();
  state_->streams->end_all();
  state_->backends->close();
  if (state_->writer) state_->writer->stop();
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
void Runtime::end_streams() { state_->streams->end_all(); }
void Runtime::leave_home() { state_->homes->leave(); }
const RuntimeOptions& Runtime::options() const { return state_->options; }
RuntimeStats Runtime::stats() const {
  RuntimeStats stats = state_->ledger->stats();
  stats.refused = state_->admissions->refused();
  return stats;
}
RuntimeMeters Runtime::meters() const {
  return {state_->ledger->meter().read(), state_->sessions.stats(), state_->streams->open()};
}
std::vector<UpstreamStatus> Runtime::upstreams() const { return state_->backends->statuses(); }

}  // namespace ringside::worker
