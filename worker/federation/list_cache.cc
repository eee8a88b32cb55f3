#include "worker/federation/list_cache.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "mcp/envelope.h"

namespace ringside::worker {
namespace {

// What one upstream may list. Beyond: the list so far is taken, with a line in the log.
constexpr std::size_t kMaxPages = 100;
constexpr std::size_t kMaxEntries = 10'000;
constexpr std::size_t kMaxListBytes = 16ULL << 20U;

constexpr Error kNoList{Code::kUpstream, 0, "no list"};

/// An MCP server without any says so by not knowing the method; that is an answer.
bool knows_no_method(std::string_view page) {
  const auto error = mcp::member(page, "error");
  if (!error) return false;
  const auto code = mcp::member(*error, "code");
  return code && *code == std::to_string(mcp::kMethodNotFoundCode);
}

std::uint64_t next_cache_id() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

/// What this thread has read last. Good as long as the generation is the cache's own, which one load tells.
struct Seen {
  std::uint64_t cache = 0;
  std::size_t scope = 0;
  std::uint64_t generation = 0;
  ListViewRef view;
};

Seen& seen_slot(std::uint64_t cache, std::size_t scope) {
  thread_local std::array<Seen, 32> slots;
  return slots[(cache * 7 + scope) % slots.size()];
}

}  // namespace

struct ListCache::Fetch {
  std::size_t index = 0;
  SteadyTime deadline;
  std::size_t pages = 0;
  std::size_t bytes = 0;
  std::string cursor;  // raw JSON string; empty: the first page
  std::vector<std::string> entries;
};

ListCache::ListCache(ListKind kind, ListOptions options, std::shared_ptr<const std::vector<Scope>> scopes,
                     const Clock& clock, std::shared_ptr<Backends> backends)
    : kind_(kind),
      options_(std::move(options)),
      scopes_(std::move(scopes)),
      clock_(clock),
      backends_(std::move(backends)),
      id_(next_cache_id()),
      entries_(backends_->size()),
      views_(scopes_->size()) {
  for (std::size_t index = 0; index < entries_.size(); ++index) entries_[index].list.upstream = backends_->name(index);
}

ListViewRef ListCache::fresh(std::size_t scope) {
  const std::uint64_t generation = generation_.load(std::memory_order_acquire);
  const SteadyTime now = clock_.now();
  Seen& seen = seen_slot(id_, scope);
  if (seen.cache != id_ || seen.scope != scope || seen.generation != generation) {
    const std::lock_guard lock(mutex_);
    // No view is made here: a list that nobody waits for may be one of which nothing is known.
    const View& view = views_[scope];
    if (!view.view || view.generation != generation_.load(std::memory_order_relaxed)) return nullptr;
    seen = {id_, scope, view.generation, view.view};
  }
  return now < seen.view->fresh_until ? seen.view : nullptr;
}

ListViewRef ListCache::last(std::size_t scope) {
  const Scope& who = (*scopes_)[scope];
  std::vector<std::size_t> stale;
  ListViewRef view;
  {
    const std::lock_guard lock(mutex_);
    for (std::size_t index = 0; index < entries_.size(); ++index) {
      if (who.members[index] && (!entries_[index].asked || entries_[index].changed)) return nullptr;
    }
    stale = claim_stale(who, clock_.now(), false);
    view = merged(scope);
  }
  start(stale);
  return view;
}

ListViewRef ListCache::known(std::size_t scope) {
  const std::lock_guard lock(mutex_);
  return merged(scope);
}

void ListCache::wait(std::size_t scope, std::uint64_t waiter, Ready ready) {
  const Scope& who = (*scopes_)[scope];
  std::vector<std::size_t> stale;
  Ready at_once;
  ListViewRef view;
  {
    const std::lock_guard lock(mutex_);
    stale = claim_stale(who, clock_.now(), true);
    if (awaits(who)) {
      waiters_.emplace(waiter, Waiter{scope, std::move(ready)});
    } else {
      view = merged(scope);
      at_once = std::move(ready);
    }
  }
  start(stale);
  if (at_once) at_once(std::move(view));
}

bool ListCache::forget(std::uint64_t waiter) {
  const std::lock_guard lock(mutex_);
  return waiters_.erase(waiter) == 1;
}

bool ListCache::asked(std::size_t upstream) const {
  const std::lock_guard lock(mutex_);
  return entries_[upstream].asked;
}

bool ListCache::answered(std::size_t upstream) const {
  const std::lock_guard lock(mutex_);
  return entries_[upstream].answered;
}

void ListCache::look_at(std::size_t upstream) {
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[upstream];
    if (entry.fetching) return;
    entry.fetching = true;
    entry.changed = false;
  }
  start({upstream});
}

void ListCache::invalidate(std::size_t upstream) {
  const std::lock_guard lock(mutex_);
  entries_[upstream].changed = true;
  entries_[upstream].good_until = SteadyTime{};
  generation_.fetch_add(1, std::memory_order_release);
}

std::vector<std::string> ListCache::dropped() const {
  std::vector<std::string> all;
  const std::lock_guard lock(mutex_);
  for (std::size_t scope = 0; scope < views_.size(); ++scope) {
    if (!views_[scope].view) continue;
    for (const std::string& entry : views_[scope].view->merged.dropped) {
      std::string line = std::string(kind_.member) + " " + entry;
      if (std::find(all.begin(), all.end(), line) == all.end()) all.push_back(std::move(line));
    }
  }
  return all;
}

std::vector<std::size_t> ListCache::claim_stale(const Scope& scope, SteadyTime now, bool awaited) {
  std::vector<std::size_t> claimed;
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    Entry& entry = entries_[index];
    if (!scope.members[index] || now < entry.good_until) continue;
    if (awaited && !entry.timed_out) entry.awaited = true;
    if (entry.fetching) continue;
    entry.fetching = true;
    entry.changed = false;
    claimed.push_back(index);
  }
  return claimed;
}

bool ListCache::awaits(const Scope& scope) const {
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    if (scope.members[index] && entries_[index].awaited) return true;
  }
  return false;
}

bool ListCache::lacks(std::size_t upstream) const {
  if (kind_.capability.empty()) return false;
  const auto introduction = backends_->introduction(upstream);
  if (!introduction) return false;
  const auto capabilities = mcp::member(*introduction, "capabilities");
  return !capabilities || !mcp::member(*capabilities, kind_.capability);
}

void ListCache::start(const std::vector<std::size_t>& indices) {
  for (const std::size_t index : indices) {
    auto fetch = std::make_shared<Fetch>();
    fetch->index = index;
    fetch->deadline = clock_.now() + options_.fetch_timeout;
    if (lacks(index)) {
      finish(*fetch, {});
    } else {
      ask(fetch);
    }
  }
}

void ListCache::ask(const std::shared_ptr<Fetch>& fetch) {
  UpstreamRequest request;
  request.id = backends_->next_id();
  request.deadline = fetch->deadline;
  request.message = R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) + R"(,"method":")" +
                    std::string(kind_.method) + R"(","params":{)" +
                    (fetch->cursor.empty() ? "" : R"("cursor":)" + fetch->cursor) + "}}";
  request.repeatable = true;
  backends_->send(fetch->index, std::move(request), [self = shared_from_this(), fetch](Result<std::string> page) {
    self->on_page(fetch, std::move(page));
  });
}

void ListCache::on_page(const std::shared_ptr<Fetch>& fetch, Result<std::string> page) {
  if (!page) return finish(*fetch, page.error());
  const auto result = mcp::member(*page, "result");
  if (!result) return finish(*fetch, knows_no_method(*page) || lacks(fetch->index) ? Status() : kNoList);
  const auto entries = mcp::member(*result, kind_.member);
  const bool is_list = entries && mcp::for_each_element(*entries, [&](std::string_view entry) {
                         fetch->bytes += entry.size();
                         if (fetch->entries.size() < kMaxEntries && fetch->bytes <= kMaxListBytes)
                           fetch->entries.emplace_back(entry);
                       });
  if (!is_list) return finish(*fetch, kNoList);
  const auto next = mcp::member(*result, "nextCursor");
  if (!next || !next->starts_with('"')) return finish(*fetch, {});
  const bool too_much =
      ++fetch->pages == kMaxPages || fetch->entries.size() >= kMaxEntries || fetch->bytes > kMaxListBytes;
  if (too_much || *next == fetch->cursor) {
    log::warn("list of {} cut upstream={} pages={} entries={} bytes={}", kind_.member, backends_->name(fetch->index),
              fetch->pages, fetch->entries.size(), fetch->bytes);
    return finish(*fetch, {});
  }
  fetch->cursor = *next;
  ask(fetch);
}

void ListCache::keep(Fetch& fetch, const Status& status) {
  Entry& entry = entries_[fetch.index];
  const SteadyTime now = clock_.now();
  const bool news = !entry.asked || entry.answered != status.ok();
  entry.asked = true;
  entry.answered = status.ok();
  entry.timed_out = !status && status.error().code == Code::kTimeout;
  entry.list.entries = status ? std::move(fetch.entries) : std::vector<std::string>();
  entry.fetching = false;
  entry.awaited = false;
  generation_.fetch_add(1, std::memory_order_release);
  if (!status) {
    entry.good_until = now + options_.retry_after;
    if (news)
      log::warn("{} missing upstream={} reason=\"{}\"", kind_.member, entry.list.upstream, status.error().message);
    return;
  }
  // Changed while it was fetched: perhaps the old list, so it serves those who wait and nobody after them.
  entry.good_until = entry.changed ? SteadyTime{} : now + options_.ttl;
  if (news) log::info("{} listed upstream={} entries={}", kind_.member, entry.list.upstream, entry.list.entries.size());
}

void ListCache::finish(Fetch& fetch, const Status& status) {
  std::vector<std::pair<Ready, ListViewRef>> served;
  {
    const std::lock_guard lock(mutex_);
    keep(fetch, status);
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      const std::size_t scope = waiter->second.scope;
      if (awaits((*scopes_)[scope])) {
        ++waiter;
        continue;
      }
      served.emplace_back(std::move(waiter->second.ready), merged(scope));
      waiter = waiters_.erase(waiter);
    }
  }
  for (auto& [ready, view] : served) ready(std::move(view));
}

const ListViewRef& ListCache::merged(std::size_t scope) {
  View& kept = views_[scope];
  const std::uint64_t generation = generation_.load(std::memory_order_relaxed);
  if (kept.view && kept.generation == generation) return kept.view;
  const Scope& who = (*scopes_)[scope];
  auto next = std::make_shared<ListView>();
  std::vector<const mcp::UpstreamList*> lists(entries_.size(), nullptr);
  next->fresh_until = SteadyTime::max();
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    if (!who.members[index]) continue;
    const Entry& entry = entries_[index];
    lists[index] = &entry.list;
    ++next->upstreams;
    next->answered += entry.answered ? 1U : 0U;
    next->fresh_until = std::min(next->fresh_until, entry.good_until);
  }
  mcp::MergeOptions options;
  options.key = kind_.key;
  options.rule = kind_.renames ? options_.rule : mcp::NameRule::kFirst;
  options.separator = options_.separator;
  if (kind_.member == "tools" && who.tools) options.only = &*who.tools;
  next->merged = mcp::merge_lists(lists, options);
  next->digest = std::hash<std::string_view>()(next->merged.array);
  if (!kept.view || kept.view->merged.dropped != next->merged.dropped) {
    for (const std::string& entry : next->merged.dropped)
      log::warn("shadowed {}: no key of its own server=\"{}\" entry={}", kind_.member, who.id, log::printable(entry));
  }
  kept = {std::move(next), generation};
  return kept.view;
}

}  // namespace ringside::worker
