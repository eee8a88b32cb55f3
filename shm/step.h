#pragma once
// Marks at the steps of the protocol. Nothing at all, except in the copy of this room that the chaos tests are built
// with (RINGSIDE_STEPS): there each passing calls a hook, which may end the process on the spot (tests/chaos).

#include <cstdint>

namespace ringside::shm {

/// What has just been done. In the order of a call's life; docs/protocol.md tells it.
enum class Step : std::uint8_t {
  // client: a call goes out
  kClaimed,
  kFilled,
  kSlotWritten,
  kEntryWritten,
  kTailPublished,
  kDoorbellRung,
  // worker: it is taken
  kEntryRead,
  kBodyCopied,
  kJournalStored,
  kHeadAdvanced,
  // worker: it is answered
  kAnswerWritten,
  kCompletionWritten,
  kCompletionPublished,
  kClientWoken,
  // client: the answer is collected
  kCompletionRead,
  kSlotFreed,
  kCompletionHeadAdvanced,
  kLoanReleased,
  // client: a body goes in parts; worker: it comes in parts
  kPartClaimed,
  kPartFilled,
  kPartDescribed,
  kPartCopied,
  kPartAsked,
  // worker: an answer waits for room, and goes in parts
  kStarved,
  kPartWritten,
  kPartSent,
  // worker: an answer is streamed: a head, pieces as they come, an end; its writer hears that there is room again
  kStreamBegun,
  kPieceKept,
  kPieceWritten,
  kPieceSent,
  kStreamEnded,
  kStreamSettled,
  kWriterRoused,
  // client: a piece, or a part, is taken; its room is given back to a worker that waits for it
  kPieceTaken,
  kCreditGiven,
  // handles: the worker read a body, the client gave one up, the worker acknowledged that
  kHandleRead,
  kHandleAbandoned,
  kAbandonAcknowledged,
  // sleeping: announced, not asleep yet
  kWorkerParked,
  kClientParked,
  // attaching: worker, worker, client
  kSegmentAdopted,
  kResponseMade,
  kJoined,
  kRepublished,
};
inline constexpr int kSteps = static_cast<int>(Step::kRepublished) + 1;

#ifdef RINGSIDE_STEPS
/// Set once, before any thread passes a mark. Null: nothing.
inline void (*step_hook)(Step) = nullptr;
inline void step(Step passed) {
  if (step_hook != nullptr) step_hook(passed);
}
#else
inline void step(Step) {}
#endif

}  // namespace ringside::shm
