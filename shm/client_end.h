#pragma once
// The client's end of a ring: it writes the request segment and reads the worker's. Thread-safe inside its process by
// one private mutex; there is no lock in shared memory. Nothing that the worker wrote is believed: a lie ends the ring.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/handle.h"
#include "shm/segment.h"

namespace ringside::shm {

/// What was agreed when the ring was attached.
struct Terms {
  std::uint64_t ring = 0;
  std::uint32_t generation = 0;
  std::uint32_t features = 0;  ///< bits of layout.h
};

/// An answer's bytes in the worker's segment, lent to this process. They go back to the worker when the loan goes away,
/// on any thread. A loan may outlive its worker and the ClientEnd: it keeps the mapping. Whoever parses them copies
/// them first: the worker could still write there.
class Loan {
 public:
  Loan() = default;
  Loan(Loan&& other) noexcept;
  Loan& operator=(Loan&& other) noexcept;
  ~Loan();
  [[nodiscard]] std::string_view header() const { return header_; }
  [[nodiscard]] std::string_view body() const { return body_; }

 private:
  friend class ClientEnd;
  struct Owner;
  void give_back();
  std::shared_ptr<Owner> owner_;  // null: nothing to give back
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
  std::string_view header_;
  std::string_view body_;
};

class ClientEnd {
 public:
  /// Makes the request segment. It is attached by join().
  static Result<std::unique_ptr<ClientEnd>> create(std::uint64_t segment_bytes = kDefaultSegmentBytes);
  ~ClientEnd();

  [[nodiscard]] int request_fd() const;
  /// Maps the worker's segment; the ring is usable from now on. Before any other thread knows this end, or after
  /// detach(): then what is published and has no answer is published again, the oldest first, marked RETRY where a
  /// worker had taken it. kPeerLied when the segment, its header or the doorbell are not as agreed; the message is the
  /// refusal's name, and nothing has changed.
  Status join(UniqueFd response_segment, UniqueFd doorbell, Terms terms);

  /// A published call that join() will not publish again.
  struct Dropped {
    std::uint32_t slot = 0;
    std::uint64_t sequence = 0;
    bool taken = false;      ///< a worker may have run it
    bool too_often = false;  ///< so many have that it may be what they die of
  };
  /// The worker writes no more: its end of the attachment's socket has closed. After poll() has found the last answer,
  /// while nobody is inside wait(), and nobody enters it before join(). Meanwhile calls may be claimed, published and
  /// cancelled; loans stay good. What is returned is over here and its slot free: calls that `most_deaths` workers have
  /// taken and not answered, and those whose body went in parts, of which the segment holds the last only.
  std::vector<Dropped> detach(int most_deaths);

  /// A slot and a run of blocks of our own pool, to be filled, then published or lent as a handle. Dropped unpublished,
  /// both are free again. Never outlives its ClientEnd.
  class Claim {
   public:
    Claim() = default;
    Claim(Claim&& other) noexcept;
    Claim& operator=(Claim&& other) noexcept;
    ~Claim();
    [[nodiscard]] std::uint32_t slot() const { return slot_; }
    [[nodiscard]] std::uint64_t sequence() const { return sequence_; }
    [[nodiscard]] std::span<char> header() const { return header_; }
    /// Of a claim in parts, the first part.
    [[nodiscard]] std::span<char> body() const { return body_; }

   private:
    friend class ClientEnd;
    void drop();
    ClientEnd* end_ = nullptr;  // null: nothing claimed, or given away
    std::uint32_t slot_ = 0;
    std::uint64_t sequence_ = 0;
    std::uint32_t first_ = 0;
    std::uint32_t count_ = 0;
    std::uint64_t total_ = 0;  // of the body in all parts
    std::span<char> header_;
    std::span<char> body_;
  };
  /// kFull: no slot or no run of blocks now (send inline, or wait). kTooLarge: it can never fit. kPeerLied: the ring is
  /// over.
  Result<Claim> claim(std::size_t header_bytes, std::size_t body_bytes);
  /// The same for a body that comes in parts, each as large as the run that there is room for now: fill and publish the
  /// first; whenever poll() says `send_more`, fill next_part() and call publish_part(). kTooLarge also where the worker
  /// knows no parts.
  Result<Claim> claim_in_parts(std::size_t header_bytes, std::uint64_t total_bytes);
  /// Where the next part goes, at most as many bytes as are left. Empty: the call was cancelled, or its worker is gone.
  [[nodiscard]] std::span<char> next_part(std::uint32_t slot, std::uint64_t sequence);
  /// Publishes what next_part() gave, filled.
  void publish_part(std::uint32_t slot, std::uint64_t sequence);
  /// Publishes a claimed call; rings the doorbell if the worker sleeps. Its blocks are free again when its FINAL
  /// completion has been taken.
  void publish(Claim&& claim, SteadyTime deadline);
  /// Whether a worker ever took a published call: its journal. Meaningful once the worker has stopped writing.
  [[nodiscard]] bool was_taken(std::uint32_t slot, std::uint64_t sequence) const;
  /// Whether the worker there is now has taken a published call. Also of one that lives, but takes nothing more.
  [[nodiscard]] bool is_taken(std::uint32_t slot, std::uint64_t sequence) const;
  /// Whether it has taken any, given up or not, whose FINAL completion has not been polled.
  [[nodiscard]] bool owes_answers() const;
  /// Says that the caller of a published call gave up. Its FINAL completion still comes.
  void cancel(std::uint32_t slot, std::uint64_t sequence);

  struct Taken {
    std::uint32_t slot = 0;
    std::uint64_t sequence = 0;
    int status = 0;
    bool inline_answer = false;  ///< fetch it over the channel
    bool more = false;           ///< a part of the answer (the header comes with the first); not the end of the call
    bool send_more = false;      ///< no answer: the worker asks for the next part of the request
    Loan answer;                 ///< header and body
  };
  /// Takes the next completion, if there is one. kPeerLied: the worker broke the protocol, the ring is over.
  Result<std::optional<Taken>> poll();

  /// Waits until poll() would find something, `deadline` passes (kTimeout), or wake() is called (fine). One thread at a
  /// time; others may poll() meanwhile. Looks first without sleeping, for `spin` at most (the same in every
  /// call) and less while that does not pay, then sleeps on the worker's completion_tail (futex).
  Status wait(SteadyTime deadline, Duration spin);
  /// Makes the waiting thread return (the peer is dead, say), or the next wait() when nobody waits. Once is enough. Any
  /// thread; returns when the waiting one has noticed.
  void wake();

  /// Lends a claimed body as the handle of a gRPC call. The claim stays with the caller, and is dropped only when the
  /// call is over, which makes the handle stale.
  [[nodiscard]] Handle lend(Claim& claim);
  /// An answer's handle, checked: the loan of its bytes. Once a call. kPeerLied: it names what it may not.
  /// kUnavailable: another worker has joined meanwhile, and the bytes are gone.
  Result<Loan> borrow(const Handle& handle, const Claim& claim);
  /// The call with `claim` ended without a handle for an answer: whatever the worker holds or will hold for it is free.
  /// Dropping a lent claim that nothing was borrowed for does the same.
  void abandon(Claim&& claim);

  /// How often publish() found the worker asleep and rang.
  [[nodiscard]] std::uint64_t doorbells_rung() const;

 private:
  struct State;
  struct WorkerSide;
  explicit ClientEnd(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace ringside::shm
