#include "worker/federation/federation.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "rpc/errors.h"
#include "worker/federation/state.h"

namespace ringside::worker {
namespace {

constexpr std::size_t kMostTasks = 10'000;

constexpr ListKind kTools{"tools/list", "tools", "", "name", true};
constexpr ListKind kPrompts{"prompts/list", "prompts", "prompts", "name", true};
constexpr ListKind kResources{"resources/list", "resources", "resources", "uri", false};
constexpr ListKind kTemplates{"resources/templates/list", "resourceTemplates", "resources", "uriTemplate", false};

const ListKind& kind_of(Listing listing) {
  switch (listing) {
    case Listing::kTools:
      return kTools;
    case Listing::kPrompts:
      return kPrompts;
    case Listing::kResources:
      return kResources;
    case Listing::kTemplates:
      break;
  }
  return kTemplates;
}

std::shared_ptr<const std::vector<Scope>> scopes_of(const FederationOptions& options, const Backends& backends) {
  auto scopes = std::make_shared<std::vector<Scope>>();
  scopes->push_back({{}, std::vector<bool>(backends.size(), true), std::nullopt});
  for (const ServerView& server : options.servers) {
    Scope scope{server.id, std::vector<bool>(backends.size(), server.upstreams.empty()), std::nullopt};
    for (std::size_t index = 0; index < backends.size(); ++index) {
      const auto& named = server.upstreams;
      if (std::find(named.begin(), named.end(), backends.name(index)) != named.end()) scope.members[index] = true;
    }
    if (!server.tools.empty()) scope.tools.emplace(server.tools.begin(), server.tools.end());
    scopes->push_back(std::move(scope));
  }
  return scopes;
}

ListOptions list_options(const FederationOptions& options) {
  return {options.names, options.separator, options.ttl, options.retry_after, options.fetch_timeout};
}

mcp::Response invalid_params(std::string_view raw_id) {
  return rpc::jsonrpc_error(200, raw_id, mcp::kInvalidParamsCode, "Invalid params");
}

/// Where a page begins. A cursor names the list that it was given out for, so that one of another list is refused
/// rather than answered with a page that leaves something out.
struct Place {
  bool from_start = true;
  std::size_t digest = 0;
  std::size_t offset = 0;
};

std::string to_cursor(std::size_t digest, std::size_t offset) {
  return std::to_string(digest) + "-" + std::to_string(offset);
}

std::optional<Place> place_of(std::string_view cursor) {
  Place place{false, 0, 0};
  const char* const end = cursor.data() + cursor.size();
  const auto digest = std::from_chars(cursor.data(), end, place.digest);
  if (digest.ec != std::errc() || digest.ptr == end || *digest.ptr != '-') return std::nullopt;
  const auto offset = std::from_chars(digest.ptr + 1, end, place.offset);
  if (offset.ec != std::errc() || offset.ptr != end) return std::nullopt;
  return place;
}

/// Nothing: invalid params.
std::optional<Place> read_place(const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                                std::size_t page_entries) {
  if (!envelope.params.empty() && envelope.params.front() != '{') return std::nullopt;
  const auto raw = reader.param("cursor");
  if (!raw) return std::nullopt;
  if (!*raw || **raw == "null") return Place{};
  const auto cursor = mcp::decode_string(**raw);
  if (page_entries == 0 || !cursor) return std::nullopt;
  return place_of(*cursor);
}

mcp::Response list_response(std::string_view raw_id, const ListKind& kind, const ListView& view, const Place& place,
                            std::size_t page_entries) {
  if (view.all_failed()) return rpc::backend_down(raw_id, "upstream is not available", rpc::Origin::kUpstream);
  const std::size_t all = view.merged.starts.size();
  const bool is_stale = place.digest != view.digest || place.offset > all;
  if (!place.from_start && is_stale) return invalid_params(raw_id);
  mcp::Response response;
  response.headers.set("content-type", "application/json");
  std::string result = R"({")" + std::string(kind.member) + R"(":)";
  const std::size_t end = page_entries == 0 ? all : std::min(all, place.offset + page_entries);
  if (page_entries == 0 || all <= page_entries) {
    result += view.merged.array;
  } else {
    result += view.merged.page(place.offset, end);
    if (end < all) result += R"(,"nextCursor":")" + to_cursor(view.digest, end) + "\"";
  }
  response.body = mcp::result_body(raw_id, result + "}");
  return response;
}

std::string task_key(std::string_view session, std::string_view task) {
  return std::string(session) + '\n' + std::string(task);
}

}  // namespace

void TaskBook::learn(std::string_view session, std::string_view task, std::size_t upstream) {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = by_key_.try_emplace(task_key(session, task));
  if (!is_new) recent_.erase(place->second);
  recent_.emplace_front(place->first, upstream);
  place->second = recent_.begin();
  if (recent_.size() <= kMostTasks) return;
  by_key_.erase(recent_.back().first);
  recent_.pop_back();
}

std::optional<std::size_t> TaskBook::find(std::string_view session, std::string_view task) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(task_key(session, task));
  if (found == by_key_.end()) return std::nullopt;
  recent_.splice(recent_.begin(), recent_, found->second);
  return found->second->second;
}

Federation::State::State(FederationOptions options_in, const Clock& clock, std::shared_ptr<Backends> backends_in)
    : options(std::move(options_in)),
      backends(std::move(backends_in)),
      scopes(scopes_of(options, *backends)),
      tools(std::make_shared<ListCache>(kTools, list_options(options), scopes, clock, backends)),
      prompts(std::make_shared<ListCache>(kPrompts, list_options(options), scopes, clock, backends)),
      resources(std::make_shared<ListCache>(kResources, list_options(options), scopes, clock, backends)),
      templates(std::make_shared<ListCache>(kTemplates, list_options(options), scopes, clock, backends)) {}

const std::shared_ptr<ListCache>& Federation::State::cache(Listing listing) const {
  switch (listing) {
    case Listing::kTools:
      return tools;
    case Listing::kPrompts:
      return prompts;
    case Listing::kResources:
      return resources;
    case Listing::kTemplates:
      break;
  }
  return templates;
}

std::optional<std::size_t> Federation::State::scope_of(std::string_view server_id) const {
  if (server_id.empty() || options.servers.empty()) return 0;
  for (std::size_t scope = 1; scope < scopes->size(); ++scope) {
    if ((*scopes)[scope].id == server_id) return scope;
  }
  return std::nullopt;
}

Federation::Federation(FederationOptions options, const Clock& clock, std::shared_ptr<Backends> backends)
    : state_(std::make_shared<State>(std::move(options), clock, std::move(backends))) {}

Federation::~Federation() { state_->timer.reset(); }

std::uint64_t Federation::next_waiter() { return state_->next_waiter.fetch_add(1, std::memory_order_relaxed); }

std::uint64_t Federation::list(Listing listing, std::string_view server_id, const mcp::Envelope& envelope,
                               const mcp::EnvelopeReader& reader, Answered answered, std::uint64_t waiter) {
  const auto give = [&](mcp::Response response) -> std::uint64_t {
    answered(std::move(response));
    return 0;
  };
  const auto scope = state_->scope_of(server_id);
  if (!scope) return give(rpc::detail_error(404, "Server not found"));
  const std::size_t page_entries = state_->options.page_entries;
  const auto place = read_place(envelope, reader, page_entries);
  if (!place) return give(invalid_params(envelope.id));
  const ListKind& kind = kind_of(listing);
  const auto& cache = state_->cache(listing);
  if (const auto fresh = cache->fresh(*scope)) {
    return give(list_response(envelope.id, kind, *fresh, *place, page_entries));
  }
  if (waiter == 0) waiter = next_waiter();
  const auto is_done = std::make_shared<std::atomic<bool>>(false);
  cache->wait(*scope, waiter,
              [answered = std::move(answered), raw_id = std::string(envelope.id), &kind, place = *place, page_entries,
               is_done](const ListViewRef& view) {
                is_done->store(true, std::memory_order_relaxed);
                answered(list_response(raw_id, kind, *view, place, page_entries));
              });
  return is_done->load(std::memory_order_relaxed) ? 0 : waiter;
}

bool Federation::forget(std::uint64_t waiter) {
  for (const auto listing : {Listing::kTools, Listing::kPrompts, Listing::kResources, Listing::kTemplates}) {
    if (state_->cache(listing)->forget(waiter)) return true;
  }
  return false;
}

bool Federation::knows_server(std::string_view server_id) const { return state_->scope_of(server_id).has_value(); }

bool Federation::sees(std::string_view server_id, std::size_t upstream) const {
  const auto scope = state_->scope_of(server_id);
  return scope && (*state_->scopes)[*scope].members[upstream];
}

bool Federation::may(std::string_view server_id, std::string_view method, const mcp::Caller& caller) const {
  const auto scope = state_->scope_of(server_id);
  if (!scope) return false;
  if (*scope == 0 || caller.is_admin) return true;
  const auto& require = state_->options.servers[*scope - 1].require;
  return std::all_of(require.begin(), require.end(), [&](const auto& wanted) {
    return wanted.first != method ||
           std::find(caller.permissions.begin(), caller.permissions.end(), wanted.second) != caller.permissions.end();
  });
}

void Federation::list_changed(std::size_t upstream, UpstreamSink::List list) {
  switch (list) {
    case UpstreamSink::List::kTools:
      return state_->tools->invalidate(upstream);
    case UpstreamSink::List::kPrompts:
      return state_->prompts->invalidate(upstream);
    case UpstreamSink::List::kResources:
      state_->resources->invalidate(upstream);
      state_->templates->invalidate(upstream);
  }
}

void Federation::look_at(std::size_t upstream) { state_->tools->look_at(upstream); }

void Federation::learn_task(std::string_view session, std::string_view task_id, std::size_t upstream) {
  state_->tasks.learn(session, task_id, upstream);
}

std::vector<std::string> Federation::shadowed() const {
  std::vector<std::string> all;
  for (const auto listing : {Listing::kTools, Listing::kPrompts, Listing::kResources, Listing::kTemplates}) {
    for (auto& entry : state_->cache(listing)->dropped()) all.push_back(std::move(entry));
  }
  return all;
}

}  // namespace ringside::worker
