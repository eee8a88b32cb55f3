#include "worker/runtime/forward.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "mcp/json_scan.h"
#include "mcp/session.h"
#include "rpc/errors.h"
#include "worker/runtime/event_answer.h"
#include "worker/runtime/front.h"

namespace ringside::worker {
namespace {

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
    case Code::kUpstream:
      return "upstream gave no valid answer";
    default:
      return "upstream is not available";
  }
}

mcp::Response upstream_failed(std::string_view raw_id, Code code) {
  return rpc::backend_down(raw_id, told(code), rpc::Origin::kUpstream);
}

/// The raw params._meta.progressToken; empty without one. kInvalid when it stands there twice: an upstream might take
/// the other.
Result<std::string_view> progress_token(const mcp::EnvelopeReader& reader) {
  const auto meta = RS_TRY(reader.param("_meta"));
  if (!meta || !meta->starts_with('{')) return std::string_view();
  return RS_TRY(mcp::sole_member(*meta, "progressToken")).value_or(std::string_view());
}

/// Puts `text` in the place of `size` bytes. In a large body a shorter one is filled up with white space, which means
/// nothing between two tokens: moving a megabyte by a byte costs as much as copying it.
void replace(std::string& body, std::size_t at, std::size_t size, std::string_view text) {
  constexpr std::size_t kLarge = 64UL * 1024;
  if (body.size() < kLarge || text.size() > size) {
    body.replace(at, size, text);
    return;
  }
  text.copy(body.data() + at, text.size());
  std::fill_n(body.data() + at + text.size(), size - text.size(), ' ');
}

/// A span of a body, and what shall stand there.
struct Edit {
  std::string_view span;
  std::string_view text;
};

/// Makes the edits (of spans that are not empty) where they lie. The last one goes first, so that the others stay where
/// they are.
void rewrite(std::string& body, std::array<Edit, 3> edits) {
  std::sort(edits.begin(), edits.end(), [](const Edit& a, const Edit& b) { return a.span.data() > b.span.data(); });
  std::array<std::size_t, 3> places{};
  for (std::size_t i = 0; i < edits.size(); ++i) {
    if (!edits[i].span.empty()) places[i] = static_cast<std::size_t>(edits[i].span.data() - body.data());
  }
  for (std::size_t i = 0; i < edits.size(); ++i) {
    if (!edits[i].span.empty()) replace(body, places[i], edits[i].span.size(), edits[i].text);
  }
}

/// `message`, if it is progress under our token, under the caller's again.
void restore_token(std::string& message, std::string_view ours, std::string_view callers) {
  const auto method = mcp::member(message, "method");
  const auto name = method ? mcp::decode_string(*method) : std::nullopt;
  if (!name || *name != "notifications/progress") return;
  const auto params = mcp::member(message, "params");
  const auto token = params ? mcp::member(*params, "progressToken") : std::nullopt;
  if (!token || *token != ours) return;
  message.replace(static_cast<std::size_t>(token->data() - message.data()), token->size(), callers);
}

}  // namespace

mcp::Response result_response(std::string_view raw_id, std::string_view raw_result) {
  return json_response(mcp::result_body(raw_id, raw_result));
}

Forward::Forward(Duration call_timeout, std::size_t max_body_bytes, const Clock& clock,
                 std::shared_ptr<Backends> backends, std::shared_ptr<CatalogCache> catalog,
                 std::shared_ptr<Ledger> ledger)
    : call_timeout_(call_timeout),
      max_body_bytes_(max_body_bytes),
      clock_(clock),
      backends_(std::move(backends)),
      catalog_(std::move(catalog)),
      ledger_(std::move(ledger)) {}

void Forward::with_catalog(const std::shared_ptr<Call>& call, std::string_view raw_id, CatalogCache::Ready ready) {
  // The hook comes before the wait, since what is ready sets the next one. A call that is cancelled between the two
  // waits.
  const std::uint64_t waiter = catalog_->next_waiter();
  call->on_cancel([self = shared_from_this(), weak = std::weak_ptr(call), raw_id, waiter] {
    const auto cancelled = weak.lock();
    if (cancelled && self->catalog_->forget(waiter))
      self->ledger_->answer(cancelled, upstream_failed(raw_id, Code::kCancelled));
  });
  catalog_->wait(waiter, std::move(ready));
}

void Forward::list_tools(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope,
                         const mcp::EnvelopeReader& reader) {
  const auto cursor = reader.param("cursor");
  const bool is_object = envelope.params.empty() || envelope.params.front() == '{';
  // The list is one page, so that no cursor was ever given out.
  if (!is_object || !cursor || (*cursor && **cursor != "null"))
    return ledger_->answer(call, invalid_params(envelope.id));
  auto answer = [self = shared_from_this(), call, raw_id = envelope.id](const Catalog& catalog) {
    if (catalog->all_failed()) return self->ledger_->answer(call, upstream_failed(raw_id, Code::kUnavailable));
    self->ledger_->answer(call, result_response(raw_id, R"({"tools":)" + catalog->catalog.tools_array + "}"));
  };
  if (const Catalog fresh = catalog_->fresh()) return answer(fresh);
  with_catalog(call, envelope.id, std::move(answer));
}

void Forward::call_tool(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope,
                        const mcp::EnvelopeReader& reader) {
  const auto raw_name = reader.param("name");
  if (!raw_name || !*raw_name) return ledger_->answer(call, invalid_params(envelope.id));
  auto name = mcp::decode_string(**raw_name);
  if (!name) return ledger_->answer(call, invalid_params(envelope.id));
  const auto token = progress_token(reader);
  if (!token) return ledger_->answer(call, invalid_params(envelope.id));
  Job job{call, envelope.id, **raw_name, *token, std::move(*name), SteadyTime{}};
  job.deadline = std::min(call->request().deadline, clock_.now() + call_timeout_);
  if (const Catalog fresh = catalog_->fresh()) return route(job, *fresh);
  // A tool that was known a moment ago is called at once; only a name that is news waits for the lists.
  if (const Catalog last = catalog_->last(); last && last->catalog.routes.contains(job.name)) {
    return route(job, *last);
  }
  with_catalog(call, envelope.id, [self = shared_from_this(), job = std::move(job)](const Catalog& catalog) {
    self->route(job, *catalog);
  });
}

void Forward::route(const Job& job, const CatalogSnapshot& catalog) {
  const auto found = catalog.catalog.routes.find(job.name);
  if (found != catalog.catalog.routes.end()) return send(job, found->second);
  if (!catalog.complete()) {
    // Whose tool it is, and whether it may run twice, only an upstream knows that is not there.
    auto answer =
        job.call->request().retry ? rpc::outcome_unknown(job.raw_id) : upstream_failed(job.raw_id, Code::kUnavailable);
    return ledger_->answer(job.call, std::move(answer));
  }
  const std::string message = "Unknown tool: " + std::string(brief(job.name));
  ledger_->answer(job.call, rpc::jsonrpc_error(200, job.raw_id, mcp::kInvalidParamsCode, message));
}

void Forward::send(const Job& job, const mcp::ToolRoute& route) {
  if (job.call->request().retry && !route.repeatable) {
    return ledger_->answer(job.call, rpc::outcome_unknown(job.raw_id));
  }
  if (job.call->cancelled()) return ledger_->answer(job.call, upstream_failed(job.raw_id, Code::kCancelled));
  const std::uint64_t id = backends_->next_id(job.raw_id.size());
  const std::string number = std::to_string(id);
  const std::string raw_id(job.raw_id);  // its bytes leave with the body
  const std::string raw_token(job.raw_token);
  const std::string name = route.name == job.name ? std::string() : mcp::encode_string(route.name);
  std::string& body = job.call->request().body;
  // The token too: what two callers chose may be equal, and an upstream has only one of each.
  rewrite(body,
          {Edit{job.raw_id, number}, Edit{job.raw_token, number}, name.empty() ? Edit{} : Edit{job.raw_name, name}});
  const std::size_t upstream = route.upstream;
  UpstreamRequest request{std::move(body), id, job.deadline, {}, nullptr};
  job.call->notes().upstream = &backends_->name(upstream);
  if (backends_->carries_headers(upstream)) request.headers = trace_headers(*job.call);
  UpstreamDone done;
  if (takes_events(*job.call)) {
    const auto events = std::make_shared<EventAnswer>(job.call, ledger_, raw_id, max_body_bytes_);
    request.on_message = [events, number, raw_token](std::string message) {
      if (!raw_token.empty()) restore_token(message, number, raw_token);
      return events->message(message);
    };
    job.call->on_room([backends = backends_, upstream, id] { backends->resume(upstream, id); });
    done = [events, raw_id, id](Result<std::string> answer) {
      events->answer(response_of(raw_id, id, std::move(answer)));
    };
  } else {
    done = [ledger = ledger_, call = job.call, raw_id, id](Result<std::string> answer) {
      ledger->answer(call, response_of(raw_id, id, std::move(answer)));
    };
  }
  backends_->send(upstream, std::move(request), std::move(done));
  // After the send: an upstream does not know of an id before, and would let its cancellation pass.
  job.call->on_cancel([backends = backends_, upstream, id] { backends->cancel(upstream, id); });
}

mcp::Headers Forward::trace_headers(Call& call) const {
  mcp::Headers headers;
  for (const auto name : {kTraceParentHeader, kTraceStateHeader, kRequestIdHeader}) {
    if (const auto value = call.request().headers.get(name); !value.empty()) headers.set(name, std::string(value));
  }
  if (headers.empty()) headers.set(kRequestIdHeader, ledger_->id_of(call));
  return headers;
}

mcp::Response Forward::response_of(std::string_view raw_id, std::uint64_t id, Result<std::string> answer) {
  if (!answer) return upstream_failed(raw_id, answer.error().code);
  std::string_view answered_id;
  bool is_answered = false;  // by a result or an error
  for (mcp::MemberWalk walk(*answer); (answered_id.empty() || !is_answered) && walk.next();) {
    if (answered_id.empty() && mcp::decodes_to(walk.key(), "id")) answered_id = walk.value();
    is_answered = is_answered || mcp::decodes_to(walk.key(), "result") || mcp::decodes_to(walk.key(), "error");
  }
  if (!is_answered || answered_id != std::to_string(id)) return upstream_failed(raw_id, Code::kUpstream);
  replace(*answer, static_cast<std::size_t>(answered_id.data() - answer->data()), answered_id.size(), raw_id);
  return json_response(std::move(*answer));
}

}  // namespace ringside::worker
