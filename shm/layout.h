#pragma once
// Every shared byte. docs/protocol.md shows the same tables; the static_asserts below keep the two from drifting.
//
// A ring has two segments, each a sealed memfd of 4 MiB (unless configured) with one writer that the kernel enforces:
// the client writes its request segment, the worker its response segment, and each maps the other's to read only.
// All counters run free and wrap at 2^32; an index is the counter modulo the queue's length. Little-endian, 64-bit
// only.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ringside::shm {

inline constexpr std::uint64_t kMagic = 0x31474E4952445352;  // "RSDRING1" in memory
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kSlots = 1024;
inline constexpr std::uint32_t kSubmissions = 2048;  // each slot can be published once and cancelled once
inline constexpr std::uint32_t kCompletions = 2048;
inline constexpr std::uint32_t kReleases = 4096;  // more than there can be blocks (2048) and slots (1024) at once
inline constexpr std::uint32_t kMaxBlocks = 2048;
inline constexpr std::uint32_t kBlockBytes = 4096;
inline constexpr std::uint32_t kBodyAlignment = 64;  // a body starts this aligned behind its header, in the same run

static_assert(std::endian::native == std::endian::little, "the segments are little-endian");

/// What the two sides of an attachment agree on: bits of AttachRequest.features, AttachReply.features and the worker's
/// header. A side uses nothing whose bit the other did not say.
inline constexpr std::uint32_t kFeatureRing = 1U << 0U;    // calls go through the submission queue
inline constexpr std::uint32_t kFeatureHandle = 1U << 1U;  // bodies of gRPC calls may be handles
inline constexpr std::uint32_t kFeatureAgain = 1U << 2U;   // the same segment may be attached again; RETRY is known
inline constexpr std::uint32_t kFeatureParts = 1U << 3U;   // bodies come in parts, both ways; MORE and SEND are known

enum class Side : std::uint32_t { kClient = 1, kWorker = 2 };

/// Never changes once the segment is shared.
struct Header {
  std::uint64_t magic;
  std::uint32_t version;
  Side side;
  std::uint64_t segment_bytes;
  std::uint64_t pool_offset;
  std::uint32_t blocks;
  std::uint32_t slots;
  std::uint32_t generation;  // the worker's segment only; the client's says 0
  std::uint32_t features;
  std::uint64_t reserved[2];
};
static_assert(sizeof(Header) == 64);

/// A counter alone on its cache line.
struct alignas(64) Cursor {
  std::atomic<std::uint32_t> value;
};
static_assert(sizeof(Cursor) == 64 && std::atomic<std::uint32_t>::is_always_lock_free);

enum SlotFlags : std::uint32_t {
  kSlotMore = 1U << 0U,    // further parts of the body follow, each in this slot, after a completion with SEND
  kSlotRetry = 1U << 1U,   // published again: a worker that is gone had taken it, and may have run it
  kSlotCancel = 1U << 2U,  // the caller gave up; the worker still answers with a FINAL completion
  kSlotHandle = 1U << 3U,  // never in the queue: the body of a gRPC call, read through a handle
};

/// What the client says of one call. Written by the client before it publishes the slot's number; `sequence` is stored
/// last (release) and set to 0 when the slot is given up, which makes every handle to it stale.
struct Slot {
  std::atomic<std::uint64_t> sequence;  // never 0 while in use, never used twice on a ring
  std::atomic<std::uint32_t> flags;
  std::uint32_t header_bytes;  // a serialised McpRequest without its body
  std::uint64_t body_bytes;
  std::uint64_t total_bytes;  // of the body in all parts; body_bytes where there is one
  std::uint32_t first_block;
  std::uint32_t block_count;  // 0: no header and no body
  std::uint64_t deadline_ns;  // CLOCK_MONOTONIC; 0: none
  std::uint64_t abandoned;    // the sequence that a Release{slot, 0} gives up
  std::uint64_t reserved;
};
static_assert(sizeof(Slot) == 64 && offsetof(Slot, body_bytes) == 16 && offsetof(Slot, deadline_ns) == 40);
static_assert(offsetof(Slot, abandoned) == 48);

enum CompletionFlags : std::uint32_t {
  kCompletionMore = 1U << 0U,    // a part of the answer; more follow
  kCompletionFinal = 1U << 1U,   // the answer; frees the slot and the request's blocks
  kCompletionSend = 1U << 3U,    // no answer: the part in the slot has been taken, send the next
  kCompletionInline = 1U << 2U,  // the answer found no room here: RingService.Fetch on the attachment's channel has it
};

/// Of a FINAL completion, a call that was cut short. Behind parts of an answer: the worker dropped the rest, since the
/// client read too slowly. Else: its caller gave up before all parts of the request had come.
inline constexpr std::int32_t kCutStatus = 499;

/// What the worker says of one call.
struct Completion {
  std::uint64_t sequence;  // of the slot's call
  std::uint32_t slot;
  std::uint32_t flags;
  std::int32_t status;         // HTTP status, as in the header
  std::uint32_t header_bytes;  // a serialised McpResponse without its body
  std::uint64_t body_bytes;
  std::uint32_t first_block;  // of the worker's pool; the client gives the run back through its `rel`
  std::uint32_t block_count;  // 0: no header and no body
  std::uint64_t reserved[3];
};
static_assert(sizeof(Completion) == 64 && offsetof(Completion, body_bytes) == 24);

/// A run of the other side's blocks, given back. The run is exactly one that was lent, never a part of one.
/// With `count` 0 (client only) it gives up a handle call instead: `first` is the slot, Slot::abandoned the sequence,
/// and whatever its answer holds or will hold is free. The worker acknowledges by storing that sequence in
/// `taken[slot]`; until then the client does not use the slot again, so there is at most one such entry per slot.
struct Release {
  std::uint32_t first;
  std::uint32_t count;
};
static_assert(sizeof(Release) == 8);

/// The client writes this, the worker reads it.
struct RequestSegment {
  Header header;  // 0x000
  std::byte pad_[64];
  Cursor submission_tail;  // 0x080 slots published so far
  Cursor completion_head;  // 0x0C0 completions taken so far
  Cursor park;             // 0x100 odd: the client sleeps, or is about to
  Cursor release_tail;     // 0x140 entries of `releases` so far
  std::byte pad2_[0x1000 - 0x180];
  Slot slots[kSlots];                       // 0x01000
  std::uint32_t submissions[kSubmissions];  // 0x11000 slot numbers
  Release releases[kReleases];              // 0x13000 runs of the worker's pool
  std::byte pad3_[0x20000 - 0x1B000];
  // 0x20000 the pool
};
static_assert(offsetof(RequestSegment, submission_tail) == 0x080);
static_assert(offsetof(RequestSegment, completion_head) == 0x0C0);
static_assert(offsetof(RequestSegment, park) == 0x100);
static_assert(offsetof(RequestSegment, release_tail) == 0x140);
static_assert(offsetof(RequestSegment, slots) == 0x1000);
static_assert(offsetof(RequestSegment, submissions) == 0x11000);
static_assert(offsetof(RequestSegment, releases) == 0x13000);
static_assert(sizeof(RequestSegment) == 0x20000);

/// The worker writes this, the client reads it.
struct ResponseSegment {
  Header header;  // 0x000
  std::byte pad_[64];
  Cursor completion_tail;  // 0x080 completions so far; the word a client sleeps on (futex, not PRIVATE)
  Cursor submission_head;  // 0x0C0 submissions taken so far
  Cursor park;             // 0x100 odd: the worker sleeps, or is about to; ring the doorbell
  Cursor release_tail;     // 0x140 entries of `releases` so far
  Cursor starved;          // 0x180 not 0: an answer in parts waits for room; ring the doorbell after a release
  std::byte pad2_[0x1000 - 0x1C0];
  std::atomic<std::uint64_t> taken[kSlots];  // 0x01000 the sequence taken (or given up) last in each slot: the journal
  Completion completions[kCompletions];      // 0x03000
  Release releases[kReleases];  // 0x23000 runs of the client's pool, given back before the FINAL completion
  std::byte pad3_[0x2C000 - 0x2B000];
  // 0x2C000 the pool
};
static_assert(offsetof(ResponseSegment, completion_tail) == 0x080);
static_assert(offsetof(ResponseSegment, submission_head) == 0x0C0);
static_assert(offsetof(ResponseSegment, park) == 0x100);
static_assert(offsetof(ResponseSegment, starved) == 0x180);
static_assert(offsetof(ResponseSegment, taken) == 0x1000);
static_assert(offsetof(ResponseSegment, completions) == 0x3000);
static_assert(offsetof(ResponseSegment, releases) == 0x23000);
static_assert(sizeof(ResponseSegment) == 0x2C000);
static_assert(sizeof(Completion) * kCompletions == 0x20000);

}  // namespace ringside::shm
