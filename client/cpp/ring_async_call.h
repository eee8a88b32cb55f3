#pragma once
// A call under way through a ring that nobody waits for on the spot. Private to the library.

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "client/cpp/ring_transport.h"
#include "client/cpp/stream_buffer.h"

namespace ringside {

/// A call under way; it may be kept longer than the transport.
class RingTransport::AsyncCall final : public PendingCall {
 public:
  AsyncCall(std::weak_ptr<RingCalls> calls, Request message, CallTrace* call_trace, Done callback)
      : trace(call_trace), done(std::move(callback)), request(std::move(message)), calls_(std::move(calls)) {}

  void cancel() override {
    std::shared_ptr<PendingCall> by_channel;
    std::uint32_t slot = 0;
    std::uint64_t sequence = 0;
    {
      const std::lock_guard lock(mutex_);
      cancelled_ = true;
      by_channel = by_channel_;
      slot = slot_;
      sequence = sequence_;
    }
    if (by_channel) return by_channel->cancel();
    const auto calls = calls_.lock();
    if (calls == nullptr) return;
    if (sequence != 0) {
      calls->cancel(slot, sequence);
    } else {
      calls->look_again();  // it may wait for room
    }
  }
  [[nodiscard]] bool cancelled() {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }
  /// The call, or its answer, is on its way over the channel; null: it has ended already.
  void goes_by_channel(const std::shared_ptr<PendingCall>& by_channel) {
    if (by_channel == nullptr) return;
    bool cancelled = false;
    {
      const std::lock_guard lock(mutex_);
      by_channel_ = by_channel;
      cancelled = cancelled_;
    }
    if (cancelled) by_channel->cancel();
  }
  /// It is about to be published.
  void goes_by_ring(const shm::ClientEnd::Claim& claim) {
    const std::lock_guard lock(mutex_);
    slot_ = claim.slot();
    sequence_ = claim.sequence();
  }
  /// On the reaper, or where it was published.
  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }

  CallTrace* const trace;
  const Done done;
  Request request;                       ///< for the case that the worker dies
  RingCalls::Turn turn;                  ///< of whoever sends it
  RingCalls::Turn wait;                  ///< for a worker
  std::shared_ptr<StreamBuffer> stream;  ///< where the answer goes piece by piece; null: it comes whole
  bool cut = false;                      ///< the worker ended the stream early

 private:
  const std::weak_ptr<RingCalls> calls_;
  std::mutex mutex_;
  bool cancelled_ = false;
  std::uint32_t slot_ = 0;
  std::uint64_t sequence_ = 0;  // 0: not through the ring
  std::shared_ptr<PendingCall> by_channel_;
};

}  // namespace ringside
