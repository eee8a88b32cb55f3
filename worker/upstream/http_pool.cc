#include "worker/upstream/http_pool.h"

#include <future>
#include <utility>

#include "base/log.h"

namespace ringside::worker {
namespace {

constexpr auto kCloseTimeout = std::chrono::milliseconds(500);

}  // namespace

HttpPool::HttpPool(std::shared_ptr<HttpHub> hub, Timer& timer)
    : hub_(std::move(hub)), timer_(timer), shared_(std::make_shared<HttpSession>(hub_, timer, nullptr)) {}

std::shared_ptr<HttpSession> HttpPool::open(const PersonaRef& persona) {
  if (!persona || hub_->options.shared) return shared_;
  std::shared_ptr<HttpSession> evicted;
  std::shared_ptr<HttpSession> session;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return nullptr;
    if (const auto place = places_.find(persona->session); place != places_.end()) return use(place);
    if (places_.size() >= hub_->options.max_conversations) {
      evicted = make_room();
      if (!evicted) return nullptr;
    }
    session = std::make_shared<HttpSession>(hub_, timer_, persona);
    order_.push_back(persona->session);
    places_.emplace(persona->session, Place{session, std::prev(order_.end()), system_clock().now()});
    arm_sweep();
  }
  if (evicted) evicted->close();
  return session;
}

std::shared_ptr<HttpSession> HttpPool::find(const PersonaRef& persona) {
  if (!persona || hub_->options.shared) return shared_;
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(persona->session);
  return place == places_.end() ? nullptr : use(place);
}

void HttpPool::end(const std::string& session) {
  std::shared_ptr<HttpSession> ended;
  {
    const std::lock_guard lock(mutex_);
    const auto place = places_.find(session);
    if (place == places_.end()) return;
    ended = remove(place);
  }
  ended->close();
}

void HttpPool::close() {
  std::vector<std::shared_ptr<HttpSession>> sessions{shared_};
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    while (!places_.empty()) sessions.push_back(remove(places_.begin()));
  }
  const auto end = system_clock().now() + kCloseTimeout;
  std::vector<std::future<void>> closings;
  closings.reserve(sessions.size());
  for (const auto& session : sessions) closings.push_back(session->close());
  for (const auto& closing : closings) closing.wait_until(end);
}

std::size_t HttpPool::size() {
  const std::lock_guard lock(mutex_);
  return places_.size();
}

std::shared_ptr<HttpSession> HttpPool::use(Places::iterator place) {
  place->second.used = system_clock().now();
  order_.splice(order_.end(), order_, place->second.order);
  return place->second.session;
}

std::shared_ptr<HttpSession> HttpPool::remove(Places::iterator place) {
  auto session = std::move(place->second.session);
  order_.erase(place->second.order);
  places_.erase(place);
  return session;
}

/// The conversation that nobody has needed for the longest time; null when all are busy.
std::shared_ptr<HttpSession> HttpPool::make_room() {
  for (const auto& name : order_) {
    const auto place = places_.find(name);
    if (!place->second.session->busy()) return remove(place);
  }
  log::warn("upstream has as many conversations as it may name={} limit={}", hub_->options.name,
            hub_->options.max_conversations);
  return nullptr;
}

void HttpPool::arm_sweep() {
  if (sweeps_ || order_.empty() || closed_) return;
  sweeps_ = true;
  timer_.arm(places_.find(order_.front())->second.used + hub_->options.idle, [weak = weak_from_this()] {
    if (const auto pool = weak.lock()) pool->sweep();
  });
}

void HttpPool::sweep() {
  std::vector<std::shared_ptr<HttpSession>> idle;
  {
    const std::lock_guard lock(mutex_);
    sweeps_ = false;
    const auto now = system_clock().now();
    while (!order_.empty()) {
      const auto place = places_.find(order_.front());
      if (place->second.used + hub_->options.idle > now) break;
      if (place->second.session->busy()) {
        use(place);
      } else {
        idle.push_back(remove(place));
      }
    }
    arm_sweep();
  }
  for (const auto& session : idle) session->close();
}

}  // namespace ringside::worker
