#pragma once
// Private to the client's end: what it keeps in its own memory. Never included by another room.

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "shm/adaptive_spin.h"
#include "shm/block_pool.h"
#include "shm/client_end.h"
#include "shm/layout.h"

namespace ringside::shm {

struct Loan::Owner {
  virtual ~Owner() = default;
  virtual void give_back(std::uint32_t first, std::uint32_t count) = 0;
};

/// One worker as we see it: its mapping and its doorbell. Shared with the loans of its segment. Immutable.
struct ClientEnd::WorkerSide final : Loan::Owner {
  WorkerSide(Segment mapped, UniqueFd bell, Terms agreed, std::weak_ptr<State> attached);
  void give_back(std::uint32_t first, std::uint32_t count) override;
  /// Wakes it. Any thread.
  void ring() const;

  const Segment segment;
  const UniqueFd doorbell;
  const Terms terms;
  const ResponseSegment* const shared;
  const std::byte* const pool;
  const std::uint32_t blocks;
  const std::weak_ptr<State> owner;
};

/// Our mapping and the bookkeeping of our side.
struct ClientEnd::State final : std::enable_shared_from_this<ClientEnd::State> {
  /// The worker whose doorbell is to be rung once the mutex is free; null: it is awake.
  using Bell = std::shared_ptr<const WorkerSide>;

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
    bool retry = false;       // a worker that died had taken it
    std::uint8_t deaths = 0;  // how many workers had
    std::uint32_t first = 0;  // our run
    std::uint32_t count = 0;
    std::uint32_t cancel_position = 0;  // the submission tail behind the cancelling entry
    std::uint32_t attachment = 0;       // of a lent one: the worker that may know its handle
    std::uint64_t sequence = 0;
    std::uint64_t total = 0;  // of the body, of a claim in parts; 0: it has one
    std::uint64_t sent = 0;   // of these, what was published
    bool part_due = false;    // the worker has asked for it
    [[nodiscard]] bool in_parts() const { return total != 0; }
  };

  explicit State(Segment segment);

  // With `mutex` held.
  void write_slot(const Claim& claim, std::uint32_t flags, SteadyTime deadline);
  [[nodiscard]] Bell submit(std::uint32_t slot);
  [[nodiscard]] Bell must_ring();
  void release(Release entry);
  /// After a release: whether the worker waits for room.
  [[nodiscard]] bool must_look_for_room() const;
  /// A slot and a run of `count` blocks, as far as there are any.
  Result<Claim> claim_run(ClientEnd* end, std::uint32_t count, std::size_t header_bytes, std::size_t body_bytes);
  void free_blocks(SlotUse& slot);
  void free_slot(std::uint32_t index);
  void hold_slot(std::uint32_t index, Use use);
  void end_call(std::uint32_t index);
  [[nodiscard]] Bell abandon_slot(std::uint32_t index);
  /// A lent slot whose handle no worker can know any more.
  [[nodiscard]] bool is_forgotten(const SlotUse& slot) const { return detached || slot.attachment != attachment; }
  [[nodiscard]] Bell publish_again();
  void settle_held();
  Status take_releases();
  Error lied(std::string_view name);
  [[nodiscard]] Loan loan(Release run, std::uint32_t header_bytes, std::uint64_t body_bytes);

  // Without the mutex.
  [[nodiscard]] bool worker_has_passed(std::uint32_t submission) const;
  void ring(const Bell& bell);
  void give_back(const WorkerSide& side, Release run);
  [[nodiscard]] Bell current_worker();
  [[nodiscard]] bool has_completion() const;
  void spin(SteadyTime until);
  Status sleep(SteadyTime deadline);

  Segment request;
  RequestSegment* ours;
  std::byte* pool;
  const ResponseSegment* theirs = nullptr;  // worker->shared, for those inside wait() without the mutex

  std::mutex mutex;
  std::shared_ptr<WorkerSide> worker;  // null: never joined
  std::uint32_t attachment = 0;        // how many there have been
  bool detached = false;
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
  // The waiting thread's own.
  std::uint32_t park = 0;  // a copy of our park word
  std::optional<AdaptiveSpin> looking;
};

}  // namespace ringside::shm
