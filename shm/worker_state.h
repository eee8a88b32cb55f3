#pragma once
// Private to the worker's end: what it keeps in its own memory. Never included by another room.

#include <array>
#include <atomic>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shm/block_pool.h"
#include "shm/layout.h"
#include "shm/worker_end.h"

namespace ringside::shm {

/// What a JSON parser may read behind a body's end.
inline constexpr std::size_t kParserPadding = 64;

/// A body that comes in parts, as far as it has come.
struct Arriving {
  std::uint64_t sequence = 0;
  std::uint64_t total = 0;
  std::string header;
  std::string body;
  SteadyTime deadline = SteadyTime::max();
  bool retry = false;
  std::uint64_t first_part = 0;  // bytes counted in first_parts, until the second part comes
};

/// An answer that goes in parts, as far as it has not gone.
struct Leaving {
  std::uint64_t sequence = 0;
  std::uint32_t slot = 0;
  int status = 0;
  std::string header;  // goes with the first part
  std::string body;
  std::size_t sent = 0;
  bool begun = false;      // the first part has gone, and the header with it
  bool cancelled = false;  // its caller has given up: only the end is sent
  bool stream = false;     // more of the body may come …
  bool open = false;       // … until it is ended
  bool cut = false;        // something was dropped: the client does not read
  bool owes_room = false;  // the writer was told that much waits
  bool resting = false;    // in State::resting
  std::uint32_t lent = 0;  // blocks of a stream's pieces that the client has not given back
  std::string more;        // of a stream, behind the body: that one is not touched while it is copied out

  [[nodiscard]] std::size_t unsent() const { return cancelled ? 0 : body.size() - sent + more.size(); }
  /// Whether there is something to send, be it the end.
  [[nodiscard]] bool due() const { return !open || !begun || unsent() > 0; }
};

/// Of a pool, what pieces of streams may hold: they must not use up the credits of a ring's parts (worker_parts.cc).
inline constexpr std::uint32_t kMostStreamBlocks = 512;

/// Writes a header and a body into a run of ours.
void write_run(std::byte* run, std::string_view header, std::string_view body);

/// A private copy of what a client said of one call.
struct CallCopy {
  std::uint64_t sequence = 0;
  std::uint32_t flags = 0;
  std::uint32_t header_bytes = 0;
  std::uint64_t body_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::uint64_t deadline_ns = 0;
};

struct WorkerEnd::State {
  static constexpr std::uint32_t kNoSlot = kSlots;

  enum class RunUse : std::uint8_t {
    kNone,     // no run starts at this block
    kFilling,  // being written; the client has not heard of it
    kDropped,  // being written; its caller has given up meanwhile, so the writer frees it
    kLent,     // the client's until it gives it back
  };
  struct Run {
    std::uint32_t count = 0;
    std::uint32_t slot = kNoSlot;         // of the gRPC call that it answers
    std::uint32_t stream_slot = kNoSlot;  // of the stream that it holds a piece of …
    std::uint64_t stream_sequence = 0;    // … which may be over
    bool has_credit = false;              // of parts_out: a part of an answer, not its last
    RunUse use = RunUse::kNone;
  };
  struct SlotUse {
    std::uint64_t taken = 0;             // the sequence taken last; the serving thread writes it
    bool cancelled = false;              // its cancelling entry has been taken; the serving thread's
    std::atomic<bool> under_way{false};  // taken and not completed
    std::uint64_t lent_sequence = 0;     // of the gRPC call whose answer's run starts at lent_first; 0: none
    std::uint32_t lent_first = 0;
    std::unique_ptr<Arriving> arriving;  // the serving thread's
    std::uint64_t parts_in = 0;          // the size of a body that comes, or came, in parts; until it is answered
    bool part_asked = false;             // SEND was published, the part has not come. With `mutex`.
    bool streams = false;                // its answer is a stream that has begun. With `mutex`, as the next.
    std::list<Leaving>::iterator stream{};
  };

  State(Segment request_segment, Segment response_segment, UniqueFd bell, WorkerEndOptions with);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  /// Ends the ring. `name` is a literal of docs/protocol.md; the first one stays.
  Error refuse(std::string_view name);
  [[nodiscard]] bool refused() const { return refusal.load(std::memory_order_acquire) != nullptr; }
  [[nodiscard]] Error refused_error() const { return {Code::kPeerLied, 0, refusal.load(std::memory_order_acquire)}; }

  [[nodiscard]] CallCopy copy_call(std::uint32_t slot, std::uint64_t sequence) const;
  /// The name of the refusal that a call's numbers deserve, or nothing.
  [[nodiscard]] std::string_view fault_of(const CallCopy& call) const;
  /// The same for a part of a call's body.
  [[nodiscard]] std::string_view fault_of_part(const CallCopy& call, const Arriving* before) const;
  /// True when the handle names this ring and a slot of it.
  [[nodiscard]] bool names_us(const Handle& handle) const;
  [[nodiscard]] std::string body_of(const CallCopy& call) const;
  /// Takes what the client has given back, if there is anything. Locks the mutex only then.
  Status settle_releases();
  /// Wakes the client that sleeps under the number `parked`. Without the mutex.
  void wake_client(std::uint32_t parked);

  // The serving thread's.
  /// The call is taken: whole, and about to be served.
  void begin(std::uint32_t slot, std::uint64_t sequence);
  /// Takes one part. The call, when it was the last.
  Result<std::optional<Taken>> take_part(std::uint32_t slot, const CallCopy& call);
  /// Its caller gave up before the last part came. It is answered all the same, so that the slot is free.
  Status drop_arriving(std::uint32_t slot, std::uint64_t sequence);
  /// Asks for the next part, at once or when there is budget for it.
  Status ask_for_part(std::uint32_t slot);
  /// The caller wants no more of an answer in parts.
  void give_up_leaving(std::uint32_t slot);

  /// What a call took of max_parts_bytes is free for others. Any thread.
  void free_parts_in(std::uint32_t slot);

  struct Part {
    std::list<Leaving>::iterator answer;
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::size_t bytes = 0;
    bool last = false;
  };

  // With `mutex` held.
  /// Asks for second parts while there is budget for their calls. As publish().
  Result<std::uint32_t> admit_waiting();
  /// True when there is room for a body of that size in the budgets, and takes it.
  [[nodiscard]] bool take_budget(std::size_t bytes);
  /// The stream in the slot; null when it is over.
  [[nodiscard]] Leaving* stream_of(std::uint32_t slot, std::uint64_t sequence);
  /// It is in `leaving`, and its slot is to know.
  void enter_stream(std::list<Leaving>::iterator at);
  /// It has something to send (again).
  void rouse(std::uint32_t slot);
  /// How many blocks the next piece of a stream may take: the streams of a ring share half of its pool (and at most
  /// kMostStreamBlocks), so that those who are not read hold up neither one another nor the calls.
  [[nodiscard]] std::uint32_t stream_share(const Leaving& stream) const;
  /// The run that the next part of `answer` goes into; nothing when there is no room.
  [[nodiscard]] std::optional<Part> fit_part(std::list<Leaving>::iterator at, std::uint32_t most_blocks);
  /// After a piece of a stream was published.
  void settle_stream(std::list<Leaving>::iterator at, std::size_t bytes, bool last);
  /// A stream has nothing to send just now.
  void rest(std::list<Leaving>::iterator at);
  /// The next part that there is room for, its run taken; nothing when there is none.
  Result<std::optional<Part>> next_part();
  Result<std::uint32_t> publish_part(const Part& part);
  Status take_releases();
  Status give_up(std::uint32_t slot);
  [[nodiscard]] std::optional<std::uint32_t> take_run(std::uint32_t count, std::uint32_t slot);
  void free_run(std::uint32_t first);
  /// Writes a completion. Not 0: the client sleeps under that number, or is about to; wake it when the mutex is free.
  Result<std::uint32_t> publish(const Completion& entry);

  Segment request;
  Segment response;
  UniqueFd doorbell;
  WorkerEndOptions options;
  std::function<void(std::uint32_t slot, std::uint64_t sequence)> on_room;
  const RequestSegment* theirs;
  ResponseSegment* ours;
  const std::byte* their_pool;
  std::byte* pool;
  std::uint32_t their_blocks;
  std::atomic<const char*> refusal{nullptr};
  std::atomic<std::uint64_t> wakes{0};

  // The serving thread's own.
  std::uint32_t submission_head = 0;
  std::uint32_t submission_tail_seen = 0;
  std::uint32_t park = 0;
  std::uint64_t first_parts = 0;  // bytes of bodies of which only the first part has come
  bool took_part = false;         // the last entry was one that does not end its body

  std::mutex mutex;
  BlockPool blocks;
  std::vector<Run> runs;  // by first block
  std::array<SlotUse, kSlots> slots{};
  std::deque<std::pair<std::uint32_t, std::uint64_t>> waiting_parts;  // slots and sequences whose second part is due
  std::size_t parts_in = 0;                                           // admitted
  bool in_line = false;                                               // for room in the worker's budget
  std::list<Leaving> leaving;                                         // what is due; the first is served next
  std::list<Leaving> resting;                                         // streams with nothing to send just now
  std::uint32_t stream_blocks = 0;                                    // of the pool, lent with pieces of streams
  std::uint32_t parts_out = 0;                                        // runs with parts, lent, that have a credit
  std::vector<std::pair<std::uint32_t, std::uint64_t>> roomy;         // streams whose writers are to be told of room
  std::atomic<std::size_t> leaving_bytes{0};
  std::atomic<std::uint32_t> due_streams{0};  // of those in `leaving`
  bool sending = false;                       // a thread is inside send_parts
  std::uint32_t completion_tail = 0;
  std::uint32_t completion_head_seen = 0;
  std::atomic<std::uint32_t> release_head{0};  // written with the mutex held, looked at without
  std::atomic<std::uint32_t> woke_for{0};      // the client's park value that it was found asleep under, and woken
};

}  // namespace ringside::shm
