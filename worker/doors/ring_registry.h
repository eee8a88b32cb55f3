#pragma once
// The attached rings of one worker by their ids, what they take, and why rings were refused. Shared by the ring thread,
// which adds and removes, and the gRPC server's threads, which look bodies up. Thread-safe.

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "worker/doors/attachment.h"
#include "worker/doors/grpc_door.h"
#include "worker/doors/ring_door.h"

namespace ringside::worker {

class RingRegistry final : public BodyHandles {
 public:
  void add(std::shared_ptr<Attachment> attachment);
  void remove(std::uint64_t ring);
  /// Null when no such ring is attached here.
  [[nodiscard]] std::shared_ptr<Attachment> find(std::uint64_t ring) const;
  void count_refusal(std::string_view reason);
  void count_doorbell() { doorbells_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] RingDoorStats stats() const;

  Result<std::string> read(const shm::Handle& handle) override;
  Result<shm::Handle> lend(const shm::Handle& request, std::string_view body) override;

 private:
  static void add_tally(const RingTally& tally, RingDoorStats& to);

  std::atomic<std::uint64_t> doorbells_{0};
  mutable std::mutex mutex_;
  RingDoorStats ended_;  // what rings did that are gone
  std::unordered_map<std::uint64_t, std::shared_ptr<Attachment>> rings_;
  std::uint64_t bytes_ = 0;
  std::map<std::string, std::uint64_t> refusals_;
};

}  // namespace ringside::worker
