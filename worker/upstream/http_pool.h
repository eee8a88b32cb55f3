#pragma once
// The conversations of one Streamable HTTP upstream: the one that all share, and one for each persona that has asked
// something. Thread-safe.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "worker/upstream/http_hub.h"
#include "worker/upstream/http_session.h"
#include "worker/upstream/timer.h"

namespace ringside::worker {

/// Held by shared_ptr: its timer may come later than its end.
class HttpPool : public std::enable_shared_from_this<HttpPool> {
 public:
  /// `timer` lives until close() has returned.
  HttpPool(std::shared_ptr<HttpHub> hub, Timer& timer);

  /// The persona's conversation, opened with its first request; null when there are too many.
  std::shared_ptr<HttpSession> open(const PersonaRef& persona);
  /// The persona's conversation if there is one.
  [[nodiscard]] std::shared_ptr<HttpSession> find(const PersonaRef& persona);
  void end(const std::string& session);
  /// Ends all of them: half a second at the most.
  void close();
  [[nodiscard]] std::size_t size();

 private:
  using Order = std::list<std::string>;
  struct Place {
    std::shared_ptr<HttpSession> session;
    Order::iterator order;
    SteadyTime used;
  };
  using Places = std::unordered_map<std::string, Place>;

  // With mutex_ held.
  std::shared_ptr<HttpSession> use(Places::iterator place);
  std::shared_ptr<HttpSession> remove(Places::iterator place);
  [[nodiscard]] std::shared_ptr<HttpSession> make_room();
  void arm_sweep();

  void sweep();

  const std::shared_ptr<HttpHub> hub_;
  Timer& timer_;
  const std::shared_ptr<HttpSession> shared_;

  std::mutex mutex_;
  bool closed_ = false;
  bool sweeps_ = false;
  Places places_;
  Order order_;  // the longest unused first
};

}  // namespace ringside::worker
