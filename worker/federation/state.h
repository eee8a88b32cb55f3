#pragma once
// What the parts of the federation share. Inside of this room only.

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "worker/federation/federation.h"
#include "worker/federation/list_cache.h"
#include "worker/upstream/timer.h"

namespace ringside::worker {

/// Which upstream has made a task. The tasks used longest ago are forgotten first. Thread-safe.
class TaskBook {
 public:
  void learn(std::string_view session, std::string_view task, std::size_t upstream);
  [[nodiscard]] std::optional<std::size_t> find(std::string_view session, std::string_view task);

 private:
  using Item = std::pair<std::string, std::size_t>;
  std::mutex mutex_;
  std::list<Item> recent_;  // the latest first
  std::unordered_map<std::string, std::list<Item>::iterator> by_key_;
};

struct Federation::State : std::enable_shared_from_this<Federation::State> {
  State(FederationOptions options_in, const Clock& clock, std::shared_ptr<Backends> backends_in);

  const FederationOptions options;
  const std::shared_ptr<Backends> backends;
  const std::shared_ptr<const std::vector<Scope>> scopes;  // [0]: all, then options.servers
  const std::shared_ptr<ListCache> tools;
  const std::shared_ptr<ListCache> prompts;
  const std::shared_ptr<ListCache> resources;
  const std::shared_ptr<ListCache> templates;
  TaskBook tasks;
  std::atomic<std::uint64_t> next_waiter{1};
  // Of patience. Made with the federation and gone with it, not with the last fetch: that may end on its thread.
  std::unique_ptr<Timer> timer = std::make_unique<Timer>();

  [[nodiscard]] const std::shared_ptr<ListCache>& cache(Listing listing) const;
  /// Nothing: no such server.
  [[nodiscard]] std::optional<std::size_t> scope_of(std::string_view server_id) const;

  /// The capability as the upstream declared it, raw; nothing when it has not, or was never asked. For an upstream that
  /// answers without ever introducing itself: tools.
  [[nodiscard]] std::optional<std::string> capability(std::size_t upstream, std::string_view name) const;
  [[nodiscard]] bool declares(std::size_t upstream, std::string_view name, std::string_view inside = {}) const;
  /// Whether it has introduced itself, or has been asked and could not.
  [[nodiscard]] bool was_asked(std::size_t upstream) const;
  /// Calls `then` once every upstream of the scope was asked, or patience is over; perhaps before this returns. Returns
  /// `waiter`, or 0 when `then` has been called.
  std::uint64_t with_introductions(std::size_t scope, std::uint64_t waiter, std::function<void()> then);
  [[nodiscard]] Introduction introduction(std::size_t scope) const;
};

/// The union of raw JSON objects, members of members too; of two other values `true` wins, then the first.
[[nodiscard]] std::string merge_objects(const std::string& first, const std::string& second);

}  // namespace ringside::worker
