#include "worker/federation/catalog_cache.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "mcp/envelope.h"

namespace ringside::worker {
namespace {

// What one upstream may list. Beyond: the list so far is taken, with a line in the log.
constexpr std::size_t kMaxPages = 100;
constexpr std::size_t kMaxTools = 10'000;
constexpr std::size_t kMaxListBytes = 16ULL << 20U;

constexpr Error kNoList{Code::kUpstream, 0, "no list of tools"};

/// An MCP server without tools says so by not knowing the method; that is an answer.
bool has_no_tools(std::string_view page) {
  const auto error = mcp::member(page, "error");
  if (!error) return false;
  const auto code = mcp::member(*error, "code");
  return code && *code == std::to_string(mcp::kMethodNotFoundCode);
}

}  // namespace

struct CatalogCache::Fetch {
  std::size_t index = 0;
  SteadyTime deadline;
  std::size_t pages = 0;
  std::size_t bytes = 0;
  std::string cursor;  // raw JSON string; empty: the first page
  std::vector<std::string> tools;
};

CatalogCache::CatalogCache(CatalogOptions options, const Clock& clock, std::shared_ptr<Backends> backends)
    : options_(options), clock_(clock), backends_(std::move(backends)), entries_(backends_->size()) {}

Catalog CatalogCache::fresh() {
  const SteadyTime now = clock_.now();
  const std::lock_guard lock(mutex_);
  return !outdated_ && now < fresh_until_ ? snapshot_ : nullptr;
}

Catalog CatalogCache::last() {
  std::vector<std::size_t> stale;
  Catalog catalog;
  {
    const std::lock_guard lock(mutex_);
    const bool known =
        std::all_of(entries_.begin(), entries_.end(), [](const Entry& entry) { return entry.asked && !entry.changed; });
    if (!known) return nullptr;
    stale = claim_stale(clock_.now(), false);
    catalog = merged();
  }
  start(stale);
  return catalog;
}

void CatalogCache::wait(std::uint64_t waiter, Ready ready) {
  std::vector<std::size_t> stale;
  Ready at_once;
  Catalog catalog;
  {
    const std::lock_guard lock(mutex_);
    stale = claim_stale(clock_.now(), true);
    if (awaited_ == 0) {
      catalog = merged();
      at_once = std::move(ready);
    } else {
      waiters_.emplace(waiter, std::move(ready));
    }
  }
  start(stale);
  if (at_once) at_once(std::move(catalog));
}

bool CatalogCache::forget(std::uint64_t waiter) {
  const std::lock_guard lock(mutex_);
  return waiters_.erase(waiter) == 1;
}

void CatalogCache::look_at(std::size_t upstream) {
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[upstream];
    if (entry.fetching) return;
    entry.fetching = true;
    entry.changed = false;
  }
  start({upstream});
}

std::uint64_t CatalogCache::invalidate(std::size_t upstream) {
  const std::lock_guard lock(mutex_);
  news_ += entries_[upstream].changed ? 0 : 1;
  entries_[upstream].changed = true;
  entries_[upstream].good_until = SteadyTime{};
  fresh_until_ = SteadyTime{};
  return news_;
}

std::vector<std::size_t> CatalogCache::claim_stale(SteadyTime now, bool awaited) {
  std::vector<std::size_t> claimed;
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    Entry& entry = entries_[index];
    if (now < entry.good_until) continue;
    if (awaited && !entry.awaited && !entry.timed_out) {
      entry.awaited = true;
      ++awaited_;
    }
    if (entry.fetching) continue;
    entry.fetching = true;
    entry.changed = false;
    claimed.push_back(index);
  }
  return claimed;
}

void CatalogCache::start(const std::vector<std::size_t>& indices) {
  for (const std::size_t index : indices) {
    auto fetch = std::make_shared<Fetch>();
    fetch->index = index;
    fetch->deadline = clock_.now() + options_.fetch_timeout;
    ask(fetch);
  }
}

void CatalogCache::ask(const std::shared_ptr<Fetch>& fetch) {
  UpstreamRequest request;
  request.id = backends_->next_id();
  request.deadline = fetch->deadline;
  request.message = R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) + R"(,"method":"tools/list","params":{)" +
                    (fetch->cursor.empty() ? "" : R"("cursor":)" + fetch->cursor) + "}}";
  backends_->send(fetch->index, std::move(request), [self = shared_from_this(), fetch](Result<std::string> page) {
    self->on_page(fetch, std::move(page));
  });
}

void CatalogCache::on_page(const std::shared_ptr<Fetch>& fetch, Result<std::string> page) {
  if (!page) return finish(*fetch, page.error());
  const auto result = mcp::member(*page, "result");
  if (!result) return finish(*fetch, has_no_tools(*page) ? Status() : kNoList);
  const auto tools = mcp::member(*result, "tools");
  const bool is_list = tools && mcp::for_each_element(*tools, [&](std::string_view tool) {
                         fetch->bytes += tool.size();
                         if (fetch->tools.size() < kMaxTools && fetch->bytes <= kMaxListBytes)
                           fetch->tools.emplace_back(tool);
                       });
  if (!is_list) return finish(*fetch, kNoList);
  const auto next = mcp::member(*result, "nextCursor");
  if (!next || !next->starts_with('"')) return finish(*fetch, {});
  const bool too_much = ++fetch->pages == kMaxPages || fetch->tools.size() >= kMaxTools || fetch->bytes > kMaxListBytes;
  if (too_much || *next == fetch->cursor) {
    log::warn("list of tools cut upstream={} pages={} tools={} bytes={}", backends_->name(fetch->index), fetch->pages,
              fetch->tools.size(), fetch->bytes);
    return finish(*fetch, {});
  }
  fetch->cursor = *next;
  ask(fetch);
}

void CatalogCache::finish(Fetch& fetch, const Status& status) {
  std::unordered_map<std::uint64_t, Ready> waiters;
  Catalog catalog;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[fetch.index];
    const SteadyTime now = clock_.now();
    const bool news = !entry.asked || entry.answered != status.ok();
    entry.asked = true;
    entry.answered = status.ok();
    entry.timed_out = !status && status.error().code == Code::kTimeout;
    entry.tools = status ? std::move(fetch.tools) : std::vector<std::string>();
    entry.fetching = false;
    if (!status) {
      entry.good_until = now + options_.retry_after;
      if (news)
        log::warn("tools missing upstream={} reason=\"{}\"", backends_->name(fetch.index), status.error().message);
    } else {
      // Changed while it was fetched: perhaps the old list, so it serves those who wait and nobody after them.
      entry.good_until = entry.changed ? SteadyTime{} : now + options_.ttl;
      if (news) log::info("tools listed upstream={} tools={}", backends_->name(fetch.index), entry.tools.size());
    }
    outdated_ = true;
    if (entry.awaited) {
      entry.awaited = false;
      --awaited_;
    }
    if (awaited_ == 0 && !waiters_.empty()) {
      waiters.swap(waiters_);
      catalog = merged();
    }
  }
  for (auto& [waiter, ready] : waiters) ready(catalog);
}

const Catalog& CatalogCache::merged() {
  if (!outdated_) return snapshot_;
  auto next = std::make_shared<CatalogSnapshot>();
  std::vector<mcp::UpstreamList> lists;
  lists.reserve(entries_.size());
  fresh_until_ = SteadyTime::max();
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    const Entry& entry = entries_[index];
    lists.push_back({backends_->name(index), entry.tools});
    next->answered += entry.answered ? 1U : 0U;
    fresh_until_ = std::min(fresh_until_, entry.good_until);
  }
  next->upstreams = entries_.size();
  std::vector<const mcp::UpstreamList*> views;
  views.reserve(lists.size());
  for (const auto& list : lists) views.push_back(&list);
  mcp::MergedList all = mcp::merge_lists(views, {});
  next->catalog = {std::move(all.array), std::move(all.routes), std::move(all.dropped)};
  if (!snapshot_ || snapshot_->catalog.dropped != next->catalog.dropped) {
    for (const std::string& tool : next->catalog.dropped)
      log::warn("tool without a unique name tool={}", log::printable(tool));
  }
  snapshot_ = std::move(next);
  outdated_ = false;
  return snapshot_;
}

}  // namespace ringside::worker
