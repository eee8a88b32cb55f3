#pragma once
// A model of streams through a ring: the words that a worker's threads and a client race on while pieces wait for room,
// and all of them as machines that do one atomic access at a time, under the mutexes that the code has. What is private
// behind a mutex changes with the access next to it. Small integers everywhere, as in model.h.
//
// Worker: a writer for each stream, which waits when it is told that its reader is slow; and the thread that serves,
// sleeps, and hears of cancels. All of them send (WorkerEnd::send_parts). Client: a reader, and who cancels the first
// stream. A piece is one block; a stream's number of pieces tells whether one came twice, too early or not at all.

#include <cstdint>

namespace ringside::shm::stream_model {

inline constexpr int kMostStreams = 2;
inline constexpr int kQueue = 8;
inline constexpr std::uint8_t kStart = 254;  // counters wrap on the way

struct Bounds {
  int streams = 2;
  int pieces = 2;         // of each stream; at most kQueue in all
  int pieces_of_one = 2;  // of the first
  int blocks = 2;         // of the worker's pool
  int share = 1;          // of these, what one stream may hold
  int much = 2;           // unsent, with which a writer waits
  bool cancels = false;   // the first stream, at any time
  bool stuck = false;     // of the first stream nothing is given back
};

/// What can be done wrong, to see that it is found.
enum class Bug : std::uint8_t {
  kNone,
  kRoomByReadingAlone,  // a limit to what is unread, whatever was given back
  kWorkerLooksBeforeItSaysStarved,
  kClientLooksBeforeItReleases,
  kStarvedIsUnsaidWhileSomethingWaits,
  kWhoHasSentLooksNoMore,  // and another, who found it sending, does not look either
  kEarlyWakeCounts,
  kOwedRoomIsForgotten,
  kOneMayHoldAll,
  kTheEndWaitsForRoom,
  kCancelEndsNothing,
};

enum class Send : std::uint8_t { kIdle, kEnter, kAnnounce, kLook, kWrite, kPublish, kPark, kLeave, kWake, kTell };
enum class Writer : std::uint8_t { kTop, kAfter, kDone };
enum class Server : std::uint8_t { kTop, kGiveUp, kEnd, kNext, kPark, kCheck, kAsleep, kUnpark };
enum class Reader : std::uint8_t {
  kTop,
  kHead,
  kRelease,
  kStarved,
  kBell,
  kRing,
  kPark,
  kCheck,
  kFutex,
  kAsleep,
  kUnpark
};
enum class Canceller : std::uint8_t { kIdle, kTail, kPark, kRing, kDone };

/// A thread that is inside send_parts.
struct Sender {
  Send at;
  std::uint8_t stream;  // the part's
  std::uint8_t final;
  std::uint8_t parked;  // the number to wake the reader under; 0: it is awake
  std::uint8_t tells;   // a bit a stream: its writer is to be told of room
};

struct World {
  using Byte = std::uint8_t;
  // The client's words.
  Byte submission_tail = 0;  // cancels of the first stream
  Byte completion_head = kStart;
  Byte client_park = 0;
  Byte release_tail = kStart;
  Byte releases[kQueue] = {};  // whose block
  // The worker's words.
  Byte completion_tail = kStart;
  Byte worker_park = 0;
  Byte starved = 0;
  struct Entry {
    Byte stream, piece, has_piece, final;
  } entries[kQueue] = {};
  // The kernel's.
  Byte doorbell = 0;
  Byte asleep = 0;  // the reader, in FUTEX_WAIT
  // The worker's own memory.
  Byte mutex = 0;
  Byte sending = 0;
  Byte turn = 0;  // the stream that is looked at first
  Byte free = 0;
  Byte release_head = kStart;
  Byte woke_for = 0;
  Byte roomy = 0;
  Byte submission_head = 0;
  struct Stream {
    Byte made, sent, lent, open, rests, over, cancelled, owes;
  } streams[kMostStreams] = {};
  struct WriterUse {
    Writer at;
    Byte waits, told;
  } writers[kMostStreams] = {};
  Sender senders[kMostStreams + 1] = {};  // the writers', the server's
  Server server = Server::kTop;
  Byte server_sends_for = 0;  // where the server goes on after it has sent
  // The client's own memory.
  Byte client_mutex = 0;
  Byte rang_for = 0;
  Reader reader = Reader::kTop;
  Byte tail = 0;
  Byte took = 0;  // whose piece the reader gives back
  Byte bell = 0;  // the reader's
  Byte held = 0;  // blocks that are never given back
  Byte heard[kMostStreams] = {};
  Byte ended = 0;  // a bit a stream
  Canceller canceller = Canceller::kIdle;
  Byte cancel_bell = 0;
};
static_assert(alignof(World) == 1, "no padding, so equal worlds are equal bytes");

inline constexpr int kServer = kMostStreams;  // agents: the writers, then these
inline constexpr int kReader = kServer + 1;
inline constexpr int kCanceller = kServer + 2;
inline constexpr int kAgents = kServer + 3;

class Model {
 public:
  explicit Model(Bounds bounds, Bug bug = Bug::kNone) : bounds_(bounds), bug_(bug) {}

  [[nodiscard]] World start() const;
  /// One step of `agent`, if it can do one.
  bool step(World& world, int agent);
  /// What is wrong with a world in which nobody can do a step; null: everything is done.
  [[nodiscard]] const char* fault_at_rest(const World& world) const;
  /// The promise that the last step has broken; null: none.
  [[nodiscard]] const char* fault() const { return fault_; }

 private:
  bool writer(World& world, int stream);
  bool server(World& world);
  bool server_parks(World& world);
  bool send(World& world, Sender& sender);
  bool send_or_leave(World& world, Sender& sender);
  bool choose(World& world, Sender& sender) const;
  void publish(World& world, const Sender& sender);
  void settle(World& world, const Sender& sender) const;
  void take_releases(World& world) const;
  bool reader(World& world);
  bool reader_gives_back(World& world);
  bool reader_waits(World& world);
  void hear(World& world);
  bool canceller(World& world);
  [[nodiscard]] int pieces_of(int stream) const { return stream == 0 ? bounds_.pieces_of_one : bounds_.pieces; }
  [[nodiscard]] bool has(Bug bug) const { return bug_ == bug; }
  void broken(const char* promise) { fault_ = promise; }

  const Bounds bounds_;
  const Bug bug_;
  const char* fault_ = nullptr;
};

inline std::uint8_t bit(int index) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(index)); }
/// A sleeper's next odd number.
inline std::uint8_t next_odd(std::uint8_t park) { return static_cast<std::uint8_t>((park + 1U) | 1U); }

/// The same world without what nobody will look at again.
World essence(World world);

}  // namespace ringside::shm::stream_model
