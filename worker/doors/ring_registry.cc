#include "worker/doors/ring_registry.h"

#include <utility>

namespace ringside::worker {

void RingRegistry::add(std::shared_ptr<Attachment> attachment) {
  const std::lock_guard lock(mutex_);
  bytes_ += attachment->bytes();
  const std::uint64_t ring = attachment->terms().ring;
  rings_.emplace(ring, std::move(attachment));
}

void RingRegistry::remove(std::uint64_t ring) {
  const std::lock_guard lock(mutex_);
  const auto at = rings_.find(ring);
  if (at == rings_.end()) return;
  bytes_ -= at->second->bytes();
  add_tally(at->second->tally(), ended_);
  rings_.erase(at);
}

std::shared_ptr<Attachment> RingRegistry::find(std::uint64_t ring) const {
  const std::lock_guard lock(mutex_);
  const auto at = rings_.find(ring);
  return at == rings_.end() ? nullptr : at->second;
}

void RingRegistry::count_refusal(std::string_view reason) {
  const std::lock_guard lock(mutex_);
  ++refusals_[std::string(reason)];
}

RingDoorStats RingRegistry::stats() const {
  const std::lock_guard lock(mutex_);
  RingDoorStats stats = ended_;
  for (const auto& [ring, attachment] : rings_) add_tally(attachment->tally(), stats);
  stats.doorbells = doorbells_.load(std::memory_order_relaxed);
  stats.rings = static_cast<std::uint32_t>(rings_.size());
  stats.bytes = bytes_;
  stats.refusals = refusals_;
  return stats;
}

void RingRegistry::add_tally(const RingTally& tally, RingDoorStats& to) {
  to.wakes += tally.wakes;
  to.answers_inline += tally.answers_inline;
  to.answers_in_parts += tally.answers_in_parts;
  to.requests_in_parts += tally.requests_in_parts;
}

Result<std::string> RingRegistry::read(const shm::Handle& handle) {
  const auto attachment = find(handle.ring);
  // Told from a lie inside a ring: whoever guesses at ids shall not end the ring of somebody else.
  if (!attachment || handle.generation != attachment->terms().generation) {
    return Error{Code::kNotFound, 0, "a body handle names no ring that is attached here"};
  }
  return attachment->read(handle);
}

Result<shm::Handle> RingRegistry::lend(const shm::Handle& request, std::string_view body) {
  const auto attachment = find(request.ring);
  if (!attachment) return Error{Code::kNotFound, 0, "the ring is no longer attached"};
  return attachment->lend(request, body);
}

}  // namespace ringside::worker
