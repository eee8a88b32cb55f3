#pragma once
// The merged list of one kind, asked for when somebody needs it. One upstream that is down takes away its own entries
// only.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "mcp/catalog.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {

/// What a list of this kind is called, and how its entries are told apart.
struct ListKind {
  std::string_view method;      ///< tools/list
  std::string_view member;      ///< of the result: tools
  std::string_view capability;  ///< that an upstream declares which has some; empty: all are asked
  std::string_view key;         ///< of an entry: name
  bool renames = true;          ///< false: the key stays what it is
};

/// Those upstreams whose entries somebody sees.
struct Scope {
  std::string id;                                        ///< empty: all that there is
  std::vector<bool> members;                             ///< by upstream
  std::optional<std::unordered_set<std::string>> tools;  ///< shown names; nothing: all
};

/// What was known at one moment to one scope; immutable and shared.
struct ListView {
  mcp::MergedList merged;
  std::size_t answered = 0;   ///< upstreams whose list is in it
  std::size_t upstreams = 0;  ///< upstreams there are
  std::size_t digest = 0;     ///< of the list; equal ones have equal digests, in every worker
  SteadyTime fresh_until{};

  [[nodiscard]] bool complete() const { return answered == upstreams; }
  /// Nothing is known because nobody answered.
  [[nodiscard]] bool all_failed() const { return upstreams != 0 && answered == 0; }
};
using ListViewRef = std::shared_ptr<const ListView>;

struct ListOptions {
  mcp::NameRule rule = mcp::NameRule::kCollisions;
  std::string separator;
  Duration ttl{};
  Duration retry_after{};
  Duration fetch_timeout{};
};

/// Each upstream's list has its own age. What is missing or too old is fetched from all upstreams of a scope at once,
/// and callers who come meanwhile wait for the same fetch. An upstream that did not answer in time last time is asked
/// again without making anybody wait for it. Thread-safe. Held by shared_ptr, which fetches under way keep.
class ListCache : public std::enable_shared_from_this<ListCache> {
 public:
  /// `clock` outlives every fetch: closing the backends ends them all.
  ListCache(ListKind kind, ListOptions options, std::shared_ptr<const std::vector<Scope>> scopes, const Clock& clock,
            std::shared_ptr<Backends> backends);

  using Ready = std::function<void(ListViewRef)>;
  /// The list if it is fresh, else nothing. Without a lock for a thread that has seen it before.
  [[nodiscard]] ListViewRef fresh(std::size_t scope);
  /// The last list, whatever its age, unless an upstream said that it changed since. Asks again for what is too old,
  /// without waiting. Nothing when there never was one.
  [[nodiscard]] ListViewRef last(std::size_t scope);
  /// Calls `ready` once with a fresh list, perhaps before this returns. `waiter`: never given twice.
  void wait(std::size_t scope, std::uint64_t waiter, Ready ready);
  /// True: this waiter's `ready` will not be called. False: it has been or is being called.
  bool forget(std::uint64_t waiter);
  /// Whatever is known now.
  [[nodiscard]] ListViewRef known(std::size_t scope);
  /// A fetch of this upstream's list has ended, well or not; well.
  [[nodiscard]] bool asked(std::size_t upstream) const;
  [[nodiscard]] bool answered(std::size_t upstream) const;
  /// Asks this upstream for its list whatever the age of that is, to see whether it answers. Nobody waits.
  void look_at(std::size_t upstream);
  /// The list of this upstream is out of date.
  void invalidate(std::size_t upstream);
  /// "KIND UPSTREAM/KEY" of what no view shows although its upstream lists it.
  [[nodiscard]] std::vector<std::string> dropped() const;

 private:
  struct Entry {
    mcp::UpstreamList list;
    SteadyTime good_until{};  ///< after that it is asked again
    bool asked = false;       ///< a fetch has ended, well or not
    bool answered = false;    ///< `list` is its list
    bool timed_out = false;   ///< its last fetch did: nobody waits for the next one
    bool changed = false;     ///< it said so since the last fetch began
    bool fetching = false;
    bool awaited = false;  ///< callers wait for the fetch
  };
  struct Waiter {
    std::size_t scope = 0;
    Ready ready;
  };
  struct View {
    ListViewRef view;
    std::uint64_t generation = 0;  ///< of the entries that it was made of
  };
  /// The pages of one upstream's list, as they come.
  struct Fetch;

  /// Marks what is to be fetched; the caller starts it after unlocking.
  [[nodiscard]] std::vector<std::size_t> claim_stale(const Scope& scope, SteadyTime now, bool awaited);
  [[nodiscard]] bool awaits(const Scope& scope) const;
  void start(const std::vector<std::size_t>& indices);
  void ask(const std::shared_ptr<Fetch>& fetch);
  void on_page(const std::shared_ptr<Fetch>& fetch, Result<std::string> page);
  void finish(Fetch& fetch, const Status& status);
  void keep(Fetch& fetch, const Status& status);
  /// It says itself that it has none of these.
  [[nodiscard]] bool lacks(std::size_t upstream) const;
  [[nodiscard]] const ListViewRef& merged(std::size_t scope);

  const ListKind kind_;
  const ListOptions options_;
  const std::shared_ptr<const std::vector<Scope>> scopes_;
  const Clock& clock_;
  const std::shared_ptr<Backends> backends_;
  const std::uint64_t id_;  // of this object, unlike any other's in this process

  std::atomic<std::uint64_t> generation_{1};  // of entries_; grows under the mutex
  mutable std::mutex mutex_;                  // guards all below; never held while an upstream or a waiter is called
  std::vector<Entry> entries_;
  std::vector<View> views_;  // by scope
  std::unordered_map<std::uint64_t, Waiter> waiters_;
};

}  // namespace ringside::worker
