#pragma once
// The merged list of tools, asked for when somebody needs it. One upstream that is down takes away its own tools only.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "mcp/catalog.h"
#include "worker/upstream/backends.h"

namespace ringside::mcp {

using ToolRoute = CatalogRoute;
struct ToolCatalog {
  std::string tools_array;
  std::unordered_map<std::string, ToolRoute> routes;
  std::vector<std::string> dropped;
};

}  // namespace ringside::mcp

namespace ringside::worker {

/// What was known at one moment; immutable and shared.
struct CatalogSnapshot {
  mcp::ToolCatalog catalog;
  std::size_t answered = 0;   ///< upstreams whose list is in it
  std::size_t upstreams = 0;  ///< upstreams there are

  [[nodiscard]] bool complete() const { return answered == upstreams; }
  /// Nothing is known because nobody answered.
  [[nodiscard]] bool all_failed() const { return upstreams != 0 && answered == 0; }
};
using Catalog = std::shared_ptr<const CatalogSnapshot>;

struct CatalogOptions {
  Duration ttl = std::chrono::seconds(30);            ///< how long a list is served before its upstream is asked again
  Duration retry_after = std::chrono::seconds(1);     ///< the same for a failure
  Duration fetch_timeout = std::chrono::seconds(60);  ///< for all pages of one upstream
};

/// Each upstream's list has its own age. What is missing or too old is fetched from all upstreams at once, and callers
/// who come meanwhile wait for the same fetch. An upstream that did not answer in time last time is asked again without
/// making anybody wait for it. Thread-safe. Held by shared_ptr, which fetches under way keep.
class CatalogCache : public std::enable_shared_from_this<CatalogCache> {
 public:
  /// `clock` outlives every fetch: closing the backends ends them all.
  CatalogCache(CatalogOptions options, const Clock& clock, std::shared_ptr<Backends> backends);

  using Ready = std::function<void(Catalog)>;
  /// The catalog if it is fresh, else nothing.
  [[nodiscard]] Catalog fresh();
  /// The last catalog, whatever its age, unless an upstream said that it changed since. Asks again for what is too old,
  /// without waiting. Nothing when there never was one.
  [[nodiscard]] Catalog last();
  /// A number for wait() and forget(), never given twice.
  [[nodiscard]] std::uint64_t next_waiter() { return next_waiter_.fetch_add(1, std::memory_order_relaxed); }
  /// Calls `ready` once with a fresh catalog, perhaps before this returns.
  void wait(std::uint64_t waiter, Ready ready);
  /// True: this waiter's `ready` will not be called. False: it has been or is being called.
  bool forget(std::uint64_t waiter);
  /// Asks this upstream for its list whatever the age of that is, to see whether it answers. Nobody waits.
  void look_at(std::size_t upstream);
  /// The list of this upstream is out of date. The number of this piece of news: until the list has been asked for
  /// again it is the same piece, however often the upstream says so.
  std::uint64_t invalidate(std::size_t upstream);

 private:
  struct Entry {
    std::vector<std::string> tools;
    SteadyTime good_until{};  ///< after that it is asked again
    bool asked = false;       ///< a fetch has ended, well or not
    bool answered = false;    ///< `tools` is its list
    bool timed_out = false;   ///< its last fetch did: nobody waits for the next one
    bool changed = false;     ///< it said so since the last fetch began
    bool fetching = false;
    bool awaited = false;  ///< callers wait for the fetch
  };
  /// The pages of one upstream's list, as they come.
  struct Fetch;

  /// Marks what is to be fetched; the caller starts it after unlocking.
  [[nodiscard]] std::vector<std::size_t> claim_stale(SteadyTime now, bool awaited);
  void start(const std::vector<std::size_t>& indices);
  void ask(const std::shared_ptr<Fetch>& fetch);
  void on_page(const std::shared_ptr<Fetch>& fetch, Result<std::string> page);
  void finish(Fetch& fetch, const Status& status);
  [[nodiscard]] const Catalog& merged();

  const CatalogOptions options_;
  const Clock& clock_;
  const std::shared_ptr<Backends> backends_;

  std::atomic<std::uint64_t> next_waiter_{1};
  std::mutex mutex_;  // guards all below; never held while an upstream or a waiter is called
  std::vector<Entry> entries_;
  Catalog snapshot_;          // merged last; null: never
  bool outdated_ = true;      // snapshot_ is not what entries_ say
  SteadyTime fresh_until_{};  // of snapshot_; the least good_until
  std::uint64_t news_ = 0;    // how often a list that had been asked for changed
  std::size_t awaited_ = 0;   // fetches that callers wait for
  std::unordered_map<std::uint64_t, Ready> waiters_;
};

}  // namespace ringside::worker
