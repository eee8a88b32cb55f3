// Who is asked for what: by the name or the URI that a request gives, by a task's maker, or by what upstreams declare.

#include <algorithm>
#include <array>
#include <utility>

#include "mcp/json_scan.h"
#include "mcp/repeat.h"
#include "mcp/resource_template.h"
#include "worker/federation/state.h"

namespace ringside::worker {
namespace {

constexpr Error kWrongParams{Code::kInvalid, 0, "Invalid params"};
constexpr Error kNobody{Code::kNotFound, 0, "nobody serves it"};
constexpr Error kNobodyAnswers{Code::kUnavailable, 0, "upstream is not available"};

/// A text of the request, decoded and as it stands in the body.
struct Text {
  std::string value;
  std::string_view raw;
};

Result<Text> text_of(const Result<std::optional<std::string_view>>& raw) {
  if (!raw || !*raw) return kWrongParams;
  auto value = mcp::decode_string(**raw);
  if (!value) return kWrongParams;
  return Text{std::move(*value), **raw};
}

Error nobody_of(const ListView& view) { return view.complete() ? kNobody : kNobodyAnswers; }

/// The first upstream one of whose templates stands for the URI.
std::optional<std::size_t> by_template(const ListView& view, const std::string& uri) {
  std::optional<std::size_t> found;
  for (const auto& [uri_template, route] : view.merged.routes) {
    if ((!found || route.upstream < *found) && mcp::matches_template(uri_template, uri)) found = route.upstream;
  }
  return found;
}

}  // namespace

/// One request on its way to an answer, perhaps by way of lists that have to be fetched first.
struct Federation::Picking : std::enable_shared_from_this<Federation::Picking> {
  std::shared_ptr<State> state;
  std::size_t scope = 0;
  std::uint64_t waiter = 0;
  std::string session;
  std::string method;
  bool repeatable = false;
  Picked picked;
  Text text;  // what it names

  using Look = std::function<bool(const ListView&)>;

  Status start(const mcp::EnvelopeReader& reader);

 private:
  void name(Listing listing);
  bool route(const ListView& view);
  void uri();
  bool own_uri(const ListView& resources, const ListView& templates);
  void any_reader(bool complete);
  Status completion(const mcp::EnvelopeReader& reader);
  void declared(std::string_view capability, bool everybody);
  void task();
  void give(std::size_t upstream) { picked(Pick{{upstream}, false, false, repeatable, {}, {}}); }
  [[nodiscard]] std::vector<std::size_t> declaring(std::string_view capability, std::string_view inside = {}) const;
};

Status Federation::Picking::start(const mcp::EnvelopeReader& reader) {
  if (method == "completion/complete") return completion(reader);
  if (method == "logging/setLevel") {
    declared("logging", true);
  } else if (method == "tasks/list") {
    declared("tasks", false);
  } else if (method == "tools/call" || method == "prompts/get") {
    text = RS_TRY(text_of(reader.param("name")));
    name(method == "tools/call" ? Listing::kTools : Listing::kPrompts);
  } else if (method.starts_with("resources/")) {
    text = RS_TRY(text_of(reader.param("uri")));
    uri();
  } else if (method.starts_with("tasks/")) {
    text = RS_TRY(text_of(reader.param("taskId")));
    task();
  } else {
    return kNobody;
  }
  return {};
}

bool Federation::Picking::route(const ListView& view) {
  const auto found = view.merged.routes.find(text.value);
  if (found == view.merged.routes.end()) return false;
  Pick pick{{found->second.upstream}, false, false, repeatable || found->second.repeatable, {}, {}};
  if (found->second.name != text.value) {
    pick.raw_span = text.raw;
    pick.replacement = mcp::encode_string(found->second.name);
  }
  picked(std::move(pick));
  return true;
}

void Federation::Picking::name(Listing listing) {
  const auto& cache = state->cache(listing);
  if (const auto fresh = cache->fresh(scope)) {
    if (!route(*fresh)) picked(nobody_of(*fresh));
    return;
  }
  // What was known a moment ago is asked for at once; only a name that is news waits for the lists.
  if (const auto last = cache->last(scope); last && route(*last)) return;
  cache->wait(scope, waiter, [self = shared_from_this()](const ListViewRef& view) {
    if (!self->route(*view)) self->picked(nobody_of(*view));
  });
}

bool Federation::Picking::own_uri(const ListView& resources, const ListView& templates) {
  if (const auto found = resources.merged.routes.find(text.value); found != resources.merged.routes.end()) {
    give(found->second.upstream);
    return true;
  }
  // The template itself: completion names it so.
  if (const auto found = templates.merged.routes.find(text.value); found != templates.merged.routes.end()) {
    give(found->second.upstream);
    return true;
  }
  const auto upstream = by_template(templates, text.value);
  if (upstream) give(*upstream);
  return upstream.has_value();
}

void Federation::Picking::uri() {
  const auto resources = state->resources->last(scope);
  const auto templates = resources ? state->templates->last(scope) : nullptr;
  if (templates && own_uri(*resources, *templates)) return;
  state->resources->wait(scope, waiter, [self = shared_from_this()](const ListViewRef& listed) {
    self->state->templates->wait(self->scope, self->waiter, [self, listed](const ListViewRef& known) {
      if (!self->own_uri(*listed, *known)) self->any_reader(listed->complete() && known->complete());
    });
  });
}

/// A server need not list what it can read.
void Federation::Picking::any_reader(bool complete) {
  const bool reads = method == "resources/read";
  Pick pick;
  pick.upstreams = declaring("resources", reads ? "" : "subscribe");
  if (method == "completion/complete" || pick.upstreams.empty()) return picked(complete ? kNobody : kNobodyAnswers);
  if (!reads) pick.upstreams.resize(1);
  pick.falls_through = pick.upstreams.size() > 1;
  pick.repeatable = repeatable;
  picked(std::move(pick));
}

Status Federation::Picking::completion(const mcp::EnvelopeReader& reader) {
  const auto raw = RS_TRY(reader.param("ref"));
  if (!raw || !raw->starts_with('{')) return kWrongParams;
  const Text type = RS_TRY(text_of(mcp::sole_member(*raw, "type")));
  if (type.value == "ref/prompt") {
    text = RS_TRY(text_of(mcp::sole_member(*raw, "name")));
    name(Listing::kPrompts);
  } else if (type.value == "ref/resource") {
    text = RS_TRY(text_of(mcp::sole_member(*raw, "uri")));
    uri();
  } else {
    return kWrongParams;
  }
  return {};
}

std::vector<std::size_t> Federation::Picking::declaring(std::string_view capability, std::string_view inside) const {
  std::vector<std::size_t> found;
  for (std::size_t index = 0; index < state->backends->size(); ++index) {
    if ((*state->scopes)[scope].members[index] && state->declares(index, capability, inside)) found.push_back(index);
  }
  return found;
}

void Federation::Picking::declared(std::string_view capability, bool everybody) {
  state->with_introductions(scope, waiter, [self = shared_from_this(), capability, everybody] {
    Pick pick;
    pick.upstreams = self->declaring(capability);
    if (pick.upstreams.empty()) return self->picked(kNobody);
    pick.everybody = everybody;
    pick.falls_through = !everybody && pick.upstreams.size() > 1;
    pick.repeatable = self->repeatable;
    self->picked(std::move(pick));
  });
}

void Federation::Picking::task() {
  const auto maker = state->tasks.find(session, text.value);
  if (maker && (*state->scopes)[scope].members[*maker]) return give(*maker);
  declared("tasks", false);
}

std::uint64_t Federation::pick(std::string_view server_id, const mcp::Envelope& envelope,
                               const mcp::EnvelopeReader& reader, Picked picked, std::string_view session,
                               std::uint64_t waiter) {
  const auto scope = state_->scope_of(server_id);
  if (!scope) {
    picked(kNobody);
    return 0;
  }
  const auto is_done = std::make_shared<std::atomic<bool>>(false);
  const auto picking = std::make_shared<Picking>();
  picking->state = state_;
  picking->scope = *scope;
  picking->waiter = waiter != 0 ? waiter : next_waiter();
  picking->session = session;
  picking->method = envelope.method;
  // Saying a level or a subscription twice says it once.
  constexpr std::array<std::string_view, 6> kAgain = {
      "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/get", "tasks/result", "tasks/list"};
  picking->repeatable = mcp::repeat_of(envelope) == mcp::Repeat::kSafe ||
                        std::find(kAgain.begin(), kAgain.end(), envelope.method) != kAgain.end();
  picking->picked = [picked = std::move(picked), is_done](Result<Pick> pick) {
    is_done->store(true, std::memory_order_relaxed);
    picked(std::move(pick));
  };
  const std::uint64_t number = picking->waiter;
  if (const Status started = picking->start(reader); !started) picking->picked(started.error());
  return is_done->load(std::memory_order_relaxed) ? 0 : number;
}

}  // namespace ringside::worker
