#include "worker/runtime/forward.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "mcp/json_scan.h"
#include "mcp/repeat.h"
#include "mcp/session.h"
#include "rpc/errors.h"
#include "worker/runtime/front.h"
#include "worker/runtime/rewrite.h"

namespace ringside::worker {
namespace {

constexpr int kResourceNotFoundCode = -32002;  // 2025-11-25, server/resources, "Error Handling"
constexpr std::array<std::string_view, 11> kForwarded = {
    "tools/call",          "prompts/get",      "resources/read", "resources/subscribe", "resources/unsubscribe",
    "completion/complete", "logging/setLevel", "tasks/get",      "tasks/result",        "tasks/cancel",
    "tasks/list"};

mcp::Response json_response(std::string body) {
  mcp::Response response;
  response.headers.set("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

mcp::Response invalid_params(std::string_view raw_id) {
  return rpc::jsonrpc_error(200, raw_id, mcp::kInvalidParamsCode, "Invalid params");
}

std::string_view told(Code code) {
  switch (code) {
    case Code::kTimeout:
      return "upstream did not answer in time";
    case Code::kCancelled:
      return "the call was cancelled";
    case Code::kTooLarge:
      return "upstream's answer is too large";
    case Code::kFull:
      return "upstream has too many sessions";
    case Code::kUpstream:
      return "upstream gave no valid answer";
    default:
      return "upstream is not available";
  }
}

mcp::Response upstream_failed(std::string_view raw_id, Code code) {
  return rpc::backend_down(raw_id, told(code), rpc::Origin::kUpstream);
}

mcp::Response response_of(std::string_view raw_id, std::uint64_t id, Result<std::string> answer) {
  if (!answer) return upstream_failed(raw_id, answer.error().code);
  std::string_view answered_id;
  bool is_answered = false;  // by a result or an error
  for (mcp::MemberWalk walk(*answer); (answered_id.empty() || !is_answered) && walk.next();) {
    if (answered_id.empty() && mcp::decodes_to(walk.key(), "id")) answered_id = walk.value();
    is_answered = is_answered || mcp::decodes_to(walk.key(), "result") || mcp::decodes_to(walk.key(), "error");
  }
  if (!is_answered || answered_id != std::to_string(id)) return upstream_failed(raw_id, Code::kUpstream);
  replace_span(*answer, static_cast<std::size_t>(answered_id.data() - answer->data()), answered_id.size(), raw_id);
  return json_response(std::move(*answer));
}

bool is_success(const Result<std::string>& answer) { return answer.ok() && mcp::member(*answer, "result").has_value(); }

/// The parameter that says what a request is about.
std::string_view subject_of(std::string_view method) {
  if (method.starts_with("resources/")) return "uri";
  return method == "logging/setLevel" ? "level" : "name";
}

}  // namespace

mcp::Response result_response(std::string_view raw_id, std::string_view raw_result) {
  return json_response(mcp::result_body(raw_id, raw_result));
}

/// A request with what its body was found to say. The spans lie in the call's body until the last send takes that away.
struct Forward::Job {
  std::shared_ptr<Call> call;
  std::string_view id_span;
  std::string_view token_span;
  std::string raw_id;
  std::string raw_token;  ///< params._meta.progressToken; empty: none
  std::string method;
  std::string subject;  ///< raw name, uri or level; empty: none
  bool has_task = false;
  mcp::Repeat repeat = mcp::Repeat::kNever;
  SteadyTime deadline;
  Sessions::Record session;
  PersonaRef persona;
  std::shared_ptr<Stream> stream;  ///< null: the caller takes no events
  Pick pick;
  std::size_t asked = 0;  ///< how many of them
  std::uint64_t under_way = 0;
  std::mutex mutex;
  bool picked = false;
};

struct Forward::Everybody {
  std::mutex mutex;
  std::size_t left = 0;
  bool answered = false;
};

Forward::Forward(Duration call_timeout, std::size_t max_body_bytes, const Clock& clock, ForwardParts parts)
    : call_timeout_(call_timeout), max_body_bytes_(max_body_bytes), clock_(clock), parts_(std::move(parts)) {}

std::optional<Listing> Forward::listing_of(std::string_view method) {
  if (method == "tools/list") return Listing::kTools;
  if (method == "prompts/list") return Listing::kPrompts;
  if (method == "resources/list") return Listing::kResources;
  if (method == "resources/templates/list") return Listing::kTemplates;
  return std::nullopt;
}

bool Forward::forwards(std::string_view method) {
  return std::find(kForwarded.begin(), kForwarded.end(), method) != kForwarded.end();
}

PersonaRef Forward::persona_of(const mcp::SessionRecord& session) {
  bool changed = false;
  auto persona = parts_.residents->persona(session, changed);
  // Upstreams know the client as it was before.
  if (changed) parts_.backends->end(session.id);
  return persona;
}

void Forward::list(const std::shared_ptr<Call>& call, Listing listing, const mcp::Envelope& envelope,
                   const mcp::EnvelopeReader& reader) {
  parts_.notices->list_read();
  const std::uint64_t waiter = parts_.federation->list(
      listing, call->request().server_id, envelope, reader,
      [ledger = parts_.ledger, call](mcp::Response response) { ledger->answer(call, std::move(response)); });
  if (waiter == 0) return;
  // A call that waits keeps its body, and so the view.
  call->on_cancel([self = shared_from_this(), weak = std::weak_ptr(call), raw_id = envelope.id, waiter] {
    const auto cancelled = weak.lock();
    if (cancelled && self->parts_.federation->forget(waiter)) {
      self->parts_.ledger->answer(cancelled, upstream_failed(raw_id, Code::kCancelled));
    }
  });
}

void Forward::send(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                   const Sessions::Record& session) {
  const auto token = progress_token(reader);
  const auto subject = reader.param(subject_of(envelope.method));
  if (!token || !subject) return parts_.ledger->answer(call, invalid_params(envelope.id));
  const auto job = std::make_shared<Job>();
  job->call = call;
  job->id_span = envelope.id;
  job->token_span = *token;
  job->raw_id = envelope.id;
  job->raw_token = *token;
  job->method = envelope.method;
  job->subject = subject->value_or("");
  const auto task = reader.param("task");
  job->has_task = task.ok() && task->has_value();
  job->repeat = mcp::repeat_of(envelope);
  job->deadline = std::min(call->request().deadline, clock_.now() + call_timeout_);
  job->session = session;
  if (session) job->persona = persona_of(*session);
  const std::uint64_t waiter = parts_.federation->pick(
      call->request().server_id, envelope, reader,
      [self = shared_from_this(), job](Result<Pick> pick) {
        {
          const std::lock_guard lock(job->mutex);
          job->picked = true;
        }
        self->start(job, std::move(pick));
      },
      session ? std::string_view(session->id) : std::string_view());
  if (waiter == 0) return;
  // Whoever picks sets the next hook: this one must not come behind it.
  const std::lock_guard lock(job->mutex);
  if (job->picked) return;
  call->on_cancel([self = shared_from_this(), weak = std::weak_ptr(job), waiter] {
    const auto cancelled = weak.lock();
    if (cancelled && self->parts_.federation->forget(waiter)) {
      self->parts_.ledger->answer(cancelled->call, upstream_failed(cancelled->raw_id, Code::kCancelled));
    }
  });
}

mcp::Response Forward::refuse_pick(const Job& job, Code code) const {
  if (code == Code::kInvalid) return invalid_params(job.raw_id);
  if (code != Code::kNotFound) {
    // Whose tool it is, and whether it may run twice, only an upstream knows that is not there.
    const bool unknown = job.call->request().retry && job.repeat != mcp::Repeat::kSafe;
    return unknown ? rpc::outcome_unknown(job.raw_id) : upstream_failed(job.raw_id, Code::kUnavailable);
  }
  const std::string name = mcp::decode_string(job.subject).value_or("");
  const auto refuse = [&](int error, std::string_view what) {
    return rpc::jsonrpc_error(200, job.raw_id, error, std::string(what) + std::string(brief(name)));
  };
  if (job.method == "tools/call") return refuse(mcp::kInvalidParamsCode, "Unknown tool: ");
  if (job.method == "prompts/get") return refuse(mcp::kInvalidParamsCode, "Unknown prompt: ");
  if (job.method.starts_with("resources/")) return refuse(kResourceNotFoundCode, "Resource not found: ");
  return invalid_params(job.raw_id);
}

void Forward::start(const JobRef& job, Result<Pick> pick) {
  const auto& ledger = parts_.ledger;
  if (!pick) return ledger->answer(job->call, refuse_pick(*job, pick.error().code));
  job->pick = std::move(*pick);
  if (job->pick.upstreams.empty()) {
    const std::string message = "Method not found: " + std::string(brief(job->method));
    return ledger->answer(job->call, rpc::jsonrpc_error(200, job->raw_id, mcp::kMethodNotFoundCode, message));
  }
  if (job->call->request().retry && !job->pick.repeatable && job->repeat != mcp::Repeat::kSafe) {
    return ledger->answer(job->call, rpc::outcome_unknown(job->raw_id));
  }
  if (job->call->cancelled()) return ledger->answer(job->call, upstream_failed(job->raw_id, Code::kCancelled));
  if (takes_events(*job->call)) {
    job->stream = parts_.streams->answer_to(job->call, job->session.get(), job->raw_id, job->method, max_body_bytes_);
  }
  if (job->pick.everybody) return send_all(job);
  send_next(job);
}

UpstreamRequest Forward::request_of(const JobRef& job, std::size_t upstream, bool last) {
  Call& call = *job->call;
  const std::uint64_t id = parts_.backends->next_id(job->raw_id.size());
  const std::string number = std::to_string(id);
  std::string& body = call.request().body;
  // The token too: what two callers chose may be equal, and an upstream has only one of each.
  const std::array<Edit, 3> edits = {edit_of(body, job->id_span, number), edit_of(body, job->token_span, number),
                                     edit_of(body, job->pick.raw_span, job->pick.replacement)};
  UpstreamRequest request;
  request.message = last ? std::move(body) : mcp::padded_copy(body);
  rewrite(request.message, edits);
  request.id = id;
  request.deadline = job->deadline;
  request.persona = job->persona;
  request.repeatable = job->pick.repeatable;
  if (parts_.backends->carries_headers(upstream)) request.headers = trace_headers(call);
  if (job->stream) {
    request.on_message = [stream = job->stream, number, raw_token = job->raw_token](std::string message) {
      if (!raw_token.empty()) restore_token(message, number, raw_token);
      return stream->message(message);
    };
  }
  if (job->persona) {
    request.on_question = [notices = parts_.notices, upstream, persona = job->persona,
                           stream = job->stream](UpstreamQuestion question) {
      return notices->ask(upstream, persona, std::move(question), stream.get());
    };
  }
  return request;
}

void Forward::send_next(const JobRef& job) {
  const auto& backends = parts_.backends;
  const std::size_t upstream = job->pick.upstreams[job->asked++];
  const bool last = !job->pick.falls_through || job->asked == job->pick.upstreams.size();
  UpstreamRequest request = request_of(job, upstream, last);
  const std::uint64_t id = request.id;
  job->call->notes().upstream = &backends->name(upstream);
  if (job->stream) job->stream->on_room([backends, upstream, id] { backends->resume(upstream, id); });
  if (job->session) {
    job->under_way =
        parts_.under_way->add(job->session->id, job->raw_id, [backends, upstream, id, weak = std::weak_ptr(job)] {
          // Whoever cancels wants no answer: a stream ends without one.
          const auto cancelled = weak.lock();
          if (cancelled && cancelled->stream && cancelled->call->streams()) cancelled->stream->end();
          backends->cancel(upstream, id);
        });
  }
  backends->send(upstream, std::move(request),
                 [self = shared_from_this(), job, upstream, id](Result<std::string> answer) {
                   self->answered(job, upstream, id, std::move(answer));
                 });
  // After the send: an upstream does not know of an id before, and would let its cancellation pass.
  job->call->on_cancel([backends, upstream, id] { backends->cancel(upstream, id); });
  if (job->session && parts_.residents->spoke_to(job->session->id, upstream)) backends->listen(upstream, job->persona);
}

void Forward::send_all(const JobRef& job) {
  const auto all = std::make_shared<Everybody>();
  all->left = job->pick.upstreams.size();
  for (const std::size_t upstream : job->pick.upstreams) {
    UpstreamRequest request = request_of(job, upstream, false);
    request.on_message = nullptr;  // one answer is passed on, and what comes before another's is not its
    const std::uint64_t id = request.id;
    parts_.backends->send(upstream, std::move(request),
                          [self = shared_from_this(), job, all, upstream, id](Result<std::string> answer) {
                            const bool good = is_success(answer);
                            {
                              const std::lock_guard lock(all->mutex);
                              const bool last = --all->left == 0;
                              if (all->answered || (!good && !last)) return;
                              all->answered = true;
                            }
                            if (good) self->note(*job, upstream, *answer);
                            self->deliver(job, response_of(job->raw_id, id, std::move(answer)));
                          });
  }
}

void Forward::answered(const JobRef& job, std::size_t upstream, std::uint64_t id, Result<std::string> answer) {
  if (job->session) parts_.under_way->remove(job->session->id, job->raw_id, job->under_way);
  const bool good = is_success(answer);
  const bool may_ask_on = !answer.ok() ? answer.error().code != Code::kCancelled : !good;
  if (may_ask_on && job->pick.falls_through && job->asked < job->pick.upstreams.size() && !job->call->cancelled()) {
    return send_next(job);
  }
  if (good) note(*job, upstream, *answer);
  deliver(job, response_of(job->raw_id, id, std::move(answer)));
}

void Forward::deliver(const JobRef& job, mcp::Response response) {
  if (job->stream == nullptr) return parts_.ledger->answer(job->call, std::move(response));
  job->stream->answer(std::move(response));
  if (job->session) parts_.streams->forget(job->session->id, job->stream.get());
}

void Forward::note(const Job& job, std::size_t upstream, const std::string& answer) {
  if (job.session == nullptr) return;
  const std::string& session = job.session->id;
  if (job.has_task) {
    const auto result = mcp::member(answer, "result");
    const auto task = result ? mcp::member(*result, "task") : std::nullopt;
    const auto raw_id = task ? mcp::member(*task, "taskId") : std::nullopt;
    if (const auto id = raw_id ? mcp::decode_string(*raw_id) : std::nullopt) {
      parts_.federation->learn_task(session, *id, upstream);
    }
  }
  if (job.method == "logging/setLevel") {
    parts_.keep_state(session, parts_.residents->set_level(session, job.subject));
  } else if (job.method == "resources/subscribe") {
    parts_.keep_state(session, parts_.residents->subscribed(session, upstream, job.subject));
    parts_.backends->listen(upstream, job.persona);
  } else if (job.method == "resources/unsubscribe") {
    parts_.keep_state(session, parts_.residents->unsubscribed(session, upstream, job.subject));
  }
}

mcp::Headers Forward::trace_headers(Call& call) const {
  mcp::Headers headers;
  for (const auto name : {kTraceParentHeader, kTraceStateHeader, kRequestIdHeader}) {
    if (const auto value = call.request().headers.get(name); !value.empty()) headers.set(name, std::string(value));
  }
  if (headers.empty()) headers.set(kRequestIdHeader, parts_.ledger->id_of(call));
  return headers;
}

}  // namespace ringside::worker
