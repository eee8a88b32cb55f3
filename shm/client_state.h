#pragma once
// Private to the client's end: what it keeps in its own memory. Never included by another room.

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "shm/block_pool.h"
#include "shm/client_end.h"
#include "shm/layout.h"

namespace ringside::shm {

struct Loan::Owner {
  virtual ~Owner() = default;
  virtual void give_back(std::uint32_t first, std::uint32_t count) = 0;
};

/// Both mappings and the bookkeeping of our side. Shared with the loans, which may outlive the ClientEnd.
struct ClientEnd::State final : Loan::Owner, std::enable_shared_from_this<ClientEnd::State> {
  enum class Use : std::uint8_t {
    kFree,
    kClaimed,    // being filled
    kLent,       // the body of a gRPC call
    kPublished,  // in the queue, or with the worker
    kAbandoned,  // given up; free once the worker has acknowledged that
    kCancelled,  // answered; free once the worker has passed the entry that cancelled it
  };
  struct SlotUse {
    Use use = Use::kFree;
    bool cancel_sent = false;
    bool borrowed = false;    // the answer's run is a Loan's business now
    std::uint32_t first = 0;  // our run
    std::uint32_t count = 0;
    std::uint32_t cancel_position = 0;  // the submission tail behind the cancelling entry
    std::uint64_t sequence = 0;
  };

  explicit State(Segment segment);

  // With `mutex` held.
  void write_slot(const Claim& claim, std::uint32_t flags, SteadyTime deadline);
  [[nodiscard]] bool submit(std::uint32_t slot);  // true: ring the doorbell when the mutex is free
  [[nodiscard]] bool must_ring();
  void release(Release entry);
  void free_blocks(SlotUse& slot);
  void free_slot(std::uint32_t index);
  void hold_slot(std::uint32_t index, Use use);
  [[nodiscard]] bool abandon_slot(std::uint32_t index);  // as submit
  void settle_held();
  Status take_releases();
  Error lied(std::string_view name);
  [[nodiscard]] Loan loan(Release run, std::uint32_t header_bytes, std::uint64_t body_bytes);

  // Without the mutex.
  [[nodiscard]] bool worker_has_passed(std::uint32_t submission) const;
  void ring_doorbell();
  void give_back(std::uint32_t first, std::uint32_t count) override;
  [[nodiscard]] bool has_completion() const;
  void spin(SteadyTime until);
  Status sleep(SteadyTime deadline);

  Segment request;
  std::optional<Segment> response;
  UniqueFd doorbell;
  Terms terms;
  RequestSegment* ours;
  const ResponseSegment* theirs = nullptr;
  std::byte* pool;
  const std::byte* their_pool = nullptr;
  std::uint32_t their_blocks = 0;

  std::mutex mutex;
  std::string_view lie;  // how the worker broke the protocol; empty while it did not
  BlockPool blocks;
  std::array<SlotUse, kSlots> slots{};
  std::vector<std::uint32_t> free_slots;  // the last is taken first, it is the warmest
  std::vector<std::uint32_t> held_slots;  // kAbandoned and kCancelled
  std::uint64_t next_sequence = 1;
  std::uint32_t submission_tail = 0;
  std::uint32_t completion_head = 0;
  std::uint32_t completion_tail_seen = 0;
  std::uint32_t release_tail = 0;
  std::uint32_t their_release_head = 0;
  std::uint32_t rang_for = 0;  // the worker's park value that the doorbell was rung for last
  std::atomic<std::uint64_t> doorbells{0};

  std::atomic<bool> waiting{false};
  std::atomic<bool> wake_asked{false};
  std::uint32_t park = 0;  // the waiting thread's own copy of our park word
};

}  // namespace ringside::shm
