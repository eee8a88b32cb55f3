#include "client/cpp/ring_spread.h"

#include <algorithm>
#include <utility>

#include "client/cpp/handle_transport.h"
#include "client/cpp/ring_attachment.h"
#include "client/cpp/ring_transport.h"
#include "client/cpp/stream_buffer.h"

namespace ringside {
namespace {

constexpr Duration kLongestPause = std::chrono::seconds(5);

}  // namespace

RingSpread::Visit::Visit(const std::atomic<Ring*>& place) {
  while (true) {
    ring_ = place.load(std::memory_order_acquire);
    // Sequentially consistent: the healer stores another ring here, then loads `inside` (bury); we raised `inside`, now
    // look whether it is still this ring's place. One of us sees the other.
    ring_->inside.fetch_add(1, std::memory_order_seq_cst);
    if (place.load(std::memory_order_seq_cst) == ring_) return;
    ring_->inside.fetch_sub(1, std::memory_order_release);
  }
}

RingSpread::Visit::~Visit() { ring_->inside.fetch_sub(1, std::memory_order_release); }

RingSpread::RingSpread(std::vector<std::shared_ptr<Transport>> rings, Attach attach, Duration pause)
    : door_(rings.front()->door()), attach_(std::move(attach)), pause_(pause), places_(rings.size()) {
  for (std::size_t i = 0; i < rings.size(); ++i) {
    rings_.push_back(std::make_unique<Ring>());
    rings_.back()->transport = std::move(rings[i]);
    places_[i].store(rings_.back().get(), std::memory_order_release);
  }
}

RingSpread::~RingSpread() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_one();
  }
  if (healer_.joinable()) healer_.join();
  for (const auto& ring : rings_) ring->transport.reset();  // their last calls still count down
}

bool RingSpread::usable() const {
  return std::any_of(places_.begin(), places_.end(),
                     [](const auto& place) { return Visit(place).transport().usable(); });
}

std::size_t RingSpread::next() {
  const std::size_t first = turn_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const std::size_t at = (first + i) % places_.size();
    if (Visit(places_[at]).transport().usable()) return at;
    if (!healing_.load(std::memory_order_relaxed)) ask_for_healing();
  }
  return first % places_.size();
}

Outcome RingSpread::call(Request request, CallTrace* trace, shm::Loan* loan) {
  const Visit visit(places_[next()]);
  return visit.transport().call(std::move(request), trace, loan);
}

std::shared_ptr<PendingCall> RingSpread::call_async(Request request, CallTrace* trace, Done done) {
  const Visit visit(places_[next()]);
  Ring& ring = visit.ring();
  ring.inside.fetch_add(1, std::memory_order_relaxed);
  return visit.transport().call_async(std::move(request), trace, [&ring, done = std::move(done)](Outcome outcome) {
    done(std::move(outcome));
    ring.inside.fetch_sub(1, std::memory_order_release);
  });
}

std::shared_ptr<PendingCall> RingSpread::stream(Request request, CallTrace* trace,
                                                std::shared_ptr<StreamBuffer> buffer) {
  const Visit visit(places_[next()]);
  visit.ring().inside.fetch_add(1, std::memory_order_relaxed);
  buffer->keep(
      std::shared_ptr<Ring>(&visit.ring(), [](Ring* ring) { ring->inside.fetch_sub(1, std::memory_order_release); }));
  return visit.transport().stream(std::move(request), trace, std::move(buffer));
}

void RingSpread::ask_for_healing() {
  if (healing_.exchange(true, std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  asked_ = true;
  if (!healer_.joinable()) healer_ = std::thread([this] { heal_all(); });
  changed_.notify_one();
}

void RingSpread::heal_all() {
  Duration pause = pause_;
  bool all_buried = true;
  const auto wanted = [this] { return asked_ || stopped_; };
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (all_buried) {
      changed_.wait(lock, wanted);
    } else {
      changed_.wait_for(lock, pause_, wanted);
    }
    const bool asked = std::exchange(asked_, false);
    lock.unlock();
    if (asked) pause = heal() ? pause_ : std::min(2 * pause, kLongestPause);
    all_buried = bury();
    lock.lock();
    if (!asked) continue;
    // Also after a success: what ends again and again is not attached without end.
    changed_.wait_for(lock, pause, [this] { return stopped_; });
    healing_.store(false, std::memory_order_relaxed);
  }
}

/// False when a ring could not be replaced. Where none is usable, the client replaces all of them.
bool RingSpread::heal() {
  for (auto& place : places_) {
    if (!usable()) return false;
    if (place.load(std::memory_order_relaxed)->transport->usable()) continue;
    auto transport = attach_();
    if (!transport.ok()) return false;
    rings_.push_back(std::make_unique<Ring>());
    rings_.back()->transport = std::move(*transport);
    place.store(rings_.back().get(), std::memory_order_seq_cst);
  }
  return true;
}

/// Takes down what was replaced and nobody is inside of any more. False when somebody still is.
bool RingSpread::bury() {
  bool all = true;
  for (const auto& ring : rings_) {
    const bool replaced =
        std::none_of(places_.begin(), places_.end(), [&](const auto& place) { return place.load() == ring.get(); });
    if (!replaced) continue;
    if (ring->inside.load(std::memory_order_seq_cst) == 0) {
      ring->transport.reset();
    } else {
      all = false;
    }
  }
  return all;
}

Result<std::shared_ptr<Transport>> connect_ring(const ClientOptions& options, bool handles) {
  const RingSpread::Attach attach = [options, handles]() -> Result<std::shared_ptr<Transport>> {
    RingAttachment attachment = RS_TRY(attach_ring(options, handles));
    return handles ? HandleTransport::create(std::move(attachment))
                   : RingTransport::create(std::move(attachment), options);
  };
  std::vector<std::shared_ptr<Transport>> rings;
  do {
    auto ring = attach();
    if (!ring.ok() && !rings.empty()) break;  // as many as the workers take; the log says why not more
    if (!ring.ok()) return ring.error();
    rings.push_back(std::move(*ring));
  } while (rings.size() < options.rings);
  if (rings.size() == 1) return std::move(rings.front());
  return std::shared_ptr<Transport>(std::make_shared<RingSpread>(std::move(rings), attach));
}

}  // namespace ringside
