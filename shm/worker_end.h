#pragma once
// The worker's end of a ring: it reads the client's segment and writes its own. take() and the parking calls belong to
// the one thread that serves rings; everything else may be called by any thread (a private mutex, never held while
// copying). Nothing that the client wrote is believed: descriptors are copied once and checked, bodies are copied once
// and used.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/copy_budget.h"
#include "shm/handle.h"
#include "shm/segment_reserve.h"

namespace ringside::shm {

struct WorkerEndOptions {
  std::uint64_t segment_bytes = kDefaultSegmentBytes;  ///< of the response segment
  SegmentReserve* reserve = nullptr;                   ///< of response segments that long; null: one is made
  std::uint64_t ring = 0;
  std::uint32_t generation = 1;
  std::uint32_t features = 0;
  std::size_t max_body_bytes = 64ULL << 20U;
  std::size_t max_parts_bytes = 256ULL << 20U;   ///< of requests, and of answers, that are under way in parts
  std::shared_ptr<CopyBudget> budget = nullptr;  ///< of these, what all rings of the worker may have; null: no matter
  std::function<void()> turn = nullptr;          ///< of that budget: asks for admit_parts() soon; does not call it
};

class WorkerEnd {
 public:
  /// Maps the client's segment, makes the response segment and the doorbell. kPeerLied with `reason` named as in
  /// docs/protocol.md ("Refusals"); kSystem when there is no memory.
  static Result<std::unique_ptr<WorkerEnd>> attach(UniqueFd request_segment, WorkerEndOptions options,
                                                   std::string_view& reason);
  ~WorkerEnd();

  [[nodiscard]] int response_fd() const;
  [[nodiscard]] int doorbell_fd() const;      ///< for epoll with EPOLLET; never read, never written here
  [[nodiscard]] std::uint64_t bytes() const;  ///< of both segments

  struct Taken {
    std::uint32_t slot = 0;
    std::uint64_t sequence = 0;
    bool cancel = false;    ///< not a call: the caller of this one gave up
    bool retry = false;     ///< another worker had taken it and may have run it
    bool in_parts = false;  ///< larger than what the segment holds of it; max_parts_bytes bounds all of these
    std::string header;
    std::string body;  ///< private; has room for a parser's padding behind its end
    SteadyTime deadline = SteadyTime::max();
  };
  /// Takes the next submission and copies it out; of a body in parts, when its last has come. Nothing: the queue is
  /// empty, or a part was taken that is not the last (park() tells the two apart), so that nobody takes more than one
  /// part of a turn. kPeerLied: the client broke the protocol; refusal() names how, and the ring must end. A call that
  /// was taken is completed once; one that was cancelled, too.
  Result<std::optional<Taken>> take();

  /// Copies out the body that a gRPC call's handle names; it has room for a parser's padding. kPeerLied: wrong ring or
  /// generation, out of bounds (the ring must end). kInvalid: stale, the caller has given up already.
  Result<std::string> read(const Handle& handle);

  /// What complete() does with an answer that finds no room.
  enum class Otherwise {
    kInline,   ///< a completion with INLINE: the caller keeps the answer for a Fetch
    kNothing,  ///< the call stays under way
  };
  /// Answers a taken call with its FINAL completion and wakes the client if it sleeps. False: no room for header and
  /// body in the pool, and `otherwise` was done. With kInline the client may fetch before this returns: a Fetch that
  /// finds nothing yet must wait for the caller of complete(). True, and nothing is sent, once the ring was refused: a
  /// client's lie is found here too, so look at refusal() afterwards.
  [[nodiscard]] bool complete(std::uint32_t slot, std::uint64_t sequence, int status, std::string_view header,
                              std::string_view body, Otherwise otherwise = Otherwise::kInline);
  /// Answers in parts, where those were agreed: as the client gives room back. False: not agreed, or more than
  /// max_parts_bytes wait already; nothing was done, and `body` is untouched.
  /// `paced`: to a client that may read slowly, as a stream is sent, so that it holds up nobody else.
  [[nodiscard]] bool complete_in_parts(std::uint32_t slot, std::uint64_t sequence, int status, std::string header,
                                       std::string& body, bool paced = false);

  // An answer whose length nobody knows yet: a header, then pieces as they come. Only where parts were agreed. The
  // client reads it as an answer in parts, and gives room back as it reads; what it has not read is kept here.

  /// Sends the header.
  void begin_stream(std::uint32_t slot, std::uint64_t sequence, int status, std::string header);
  /// Called for each stream whose writer was told kSlow, once that has changed; on any thread that sends parts, without
  /// locks of this room's. Set before the first take().
  void on_room(std::function<void(std::uint32_t slot, std::uint64_t sequence)> callback);
  enum class Room {
    kMore,
    kSlow,  ///< kept, but much of it waits: on_room's callback is called when it does not any more
    kCut,   ///< dropped, and all after it: the client has left more unread than a body may have
  };
  Room write_stream(std::uint32_t slot, std::uint64_t sequence, std::string_view piece);
  /// Sends the FINAL completion behind the last piece; with status kCutStatus if something was dropped.
  void end_stream(std::uint32_t slot, std::uint64_t sequence);

  /// True while an answer in parts, or a piece of a stream, waits for room.
  [[nodiscard]] bool sends_parts() const;
  /// Sends what there is room for by now. take() does so too when it finds nothing, and park().
  void send_parts();

  /// Asks for second parts of bodies that waited for the budget. Any thread.
  void admit_parts();

  /// Writes the body of a gRPC answer and lends it, once a call. kFull: answer inline. kInvalid: the caller has given
  /// up already. kPeerLied: as read().
  Result<Handle> lend(const Handle& request, std::string_view body);

  /// Announces sleep and looks once more: true when there is nothing to take and the thread may sleep until the
  /// doorbell. The client rings once for each sleep that was announced, so after any wake-up: unpark(), take() until
  /// there is nothing, park() again. False leaves the end unparked.
  [[nodiscard]] bool park();
  void unpark();
  /// True when take() may find something. One load.
  [[nodiscard]] bool has_work() const;

  /// The name of the refusal that ended the ring; empty while it is good. Any call above may find one.
  [[nodiscard]] std::string_view refusal() const;
  /// How often an answer found the client asleep and woke it.
  [[nodiscard]] std::uint64_t wakes() const;

 private:
  struct State;
  explicit WorkerEnd(std::unique_ptr<State> state);
  Result<std::optional<Taken>> take_slot(std::uint32_t slot);
  std::unique_ptr<State> state_;
};

}  // namespace ringside::shm
