#pragma once
// The conversations of one upstream: the one that all share, and one for each persona that has asked something. T has
// busy(), which says whether it must not be ended for want of use. Thread-safe.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "worker/upstream/timer.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

struct PoolRules {
  bool shared = false;   ///< personas have no conversations of their own
  std::size_t most = 0;  ///< conversations of personas
  bool evicts = false;   ///< a newcomer takes the place of one that is not busy, if there are too many
  Duration idle = {};    ///< after which one ends that is not busy
};

/// Held by shared_ptr: its timer's action may come later than its end.
template <typename T>
class PersonaPool : public std::enable_shared_from_this<PersonaPool<T>> {
 public:
  using Conversation = std::shared_ptr<T>;
  using Make = std::function<Conversation(const PersonaRef&)>;
  /// Ends one that the pool has let go of. Must not block.
  using Retire = std::function<void(Conversation)>;

  /// `timer` lives until close() has returned.
  PersonaPool(PoolRules rules, Timer& timer, const Make& make, Retire retire)
      : rules_(rules), timer_(timer), make_(make), retire_(std::move(retire)), shared_(make(nullptr)) {}

  /// The persona's conversation, made if there is none; null when there are too many.
  [[nodiscard]] Conversation open(const PersonaRef& persona) {
    if (!persona || rules_.shared) return shared_;
    Conversation evicted;
    Conversation conversation;
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return nullptr;
      if (const auto place = places_.find(persona->session); place != places_.end()) return use(place);
      if (places_.size() >= rules_.most) {
        evicted = make_room();
        if (!evicted) return nullptr;
      }
      conversation = make_(persona);
      order_.push_back(persona->session);
      places_.emplace(persona->session, Place{conversation, std::prev(order_.end()), system_clock().now()});
      arm_sweep();
    }
    if (evicted) retire_(std::move(evicted));
    return conversation;
  }

  /// The persona's conversation if there is one.
  [[nodiscard]] Conversation find(const PersonaRef& persona) {
    if (!persona || rules_.shared) return shared_;
    const std::lock_guard lock(mutex_);
    const auto place = places_.find(persona->session);
    return place == places_.end() ? nullptr : use(place);
  }

  void end(const std::string& session) {
    Conversation ended;
    {
      const std::lock_guard lock(mutex_);
      const auto place = places_.find(session);
      if (place == places_.end()) return;
      ended = remove(place);
    }
    retire_(std::move(ended));
  }

  /// Gives out all of them, for the caller to end. None is made afterwards.
  [[nodiscard]] std::vector<Conversation> close() {
    std::vector<Conversation> all{shared_};
    const std::lock_guard lock(mutex_);
    closed_ = true;
    while (!places_.empty()) all.push_back(remove(places_.begin()));
    return all;
  }

 private:
  using Order = std::list<std::string>;
  struct Place {
    Conversation conversation;
    Order::iterator order;
    SteadyTime used;
  };
  using Places = std::unordered_map<std::string, Place>;

  // With mutex_ held.
  Conversation use(typename Places::iterator place) {
    place->second.used = system_clock().now();
    order_.splice(order_.end(), order_, place->second.order);
    return place->second.conversation;
  }
  Conversation remove(typename Places::iterator place) {
    auto conversation = std::move(place->second.conversation);
    order_.erase(place->second.order);
    places_.erase(place);
    return conversation;
  }
  /// Takes out the one that nobody has needed for the longest time; null when there is none such.
  Conversation make_room() {
    if (!rules_.evicts) return nullptr;
    for (const auto& session : order_) {
      const auto place = places_.find(session);
      if (!place->second.conversation->busy()) return remove(place);
    }
    return nullptr;
  }
  void arm_sweep() {
    if (sweeps_ || order_.empty() || closed_) return;
    sweeps_ = true;
    timer_.arm(places_.find(order_.front())->second.used + rules_.idle, [weak = this->weak_from_this()] {
      if (const auto pool = weak.lock()) pool->sweep();
    });
  }

  void sweep() {
    std::vector<Conversation> idle;
    {
      const std::lock_guard lock(mutex_);
      sweeps_ = false;
      const auto now = system_clock().now();
      while (!order_.empty()) {
        const auto place = places_.find(order_.front());
        if (place->second.used + rules_.idle > now) break;
        if (place->second.conversation->busy()) {
          use(place);
        } else {
          idle.push_back(remove(place));
        }
      }
      arm_sweep();
    }
    for (auto& one : idle) retire_(std::move(one));
  }

  const PoolRules rules_;
  Timer& timer_;
  const Make make_;
  const Retire retire_;
  const Conversation shared_;

  std::mutex mutex_;
  bool closed_ = false;
  bool sweeps_ = false;  // one is armed
  Places places_;
  Order order_;  // the longest unused first
};

/// Whose request each number is. Shared with the callbacks, which may come later than the upstream's end. Thread-safe.
template <typename T>
class Routes {
 public:
  void add(std::uint64_t id, std::shared_ptr<T> conversation) {
    const std::lock_guard lock(mutex_);
    conversations_.emplace(id, std::move(conversation));
  }
  void remove(std::uint64_t id) {
    std::shared_ptr<T> last;  // dies without the lock
    const std::lock_guard lock(mutex_);
    if (auto node = conversations_.extract(id)) last = std::move(node.mapped());
  }
  [[nodiscard]] std::shared_ptr<T> find(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = conversations_.find(id);
    return found == conversations_.end() ? nullptr : found->second;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<T>> conversations_;
};

}  // namespace ringside::worker
