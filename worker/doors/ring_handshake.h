#pragma once
// Attaching a ring: what a client may ask for with its one message on ring.sock, and what it is answered.
// docs/protocol.md ("Attaching", "Refusals") has the same names.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/worker_end.h"
#include "worker/doors/ring_door.h"

namespace ringside::worker {

/// The longest AttachRequest; a longer one is no handshake of ours.
inline constexpr std::size_t kMaxAttachRequest = 4096;

/// Everything a granted request leads to.
struct Attached {
  std::unique_ptr<shm::WorkerEnd> end;
  UniqueFd channel;         ///< our end of the attachment's channel
  UniqueFd client_channel;  ///< the client's, to be sent with the reply
  std::uint64_t ring = 0;
  std::uint32_t generation = 1;
  std::uint32_t features = 0;
  bool hangs_up = false;  ///< once it has been told that nothing more is taken, and has no call under way
  std::string client;     ///< what the client calls itself, fit for a log line
};

/// How a handshake went: attached, still waiting, or over for a reason that has a name.
struct HandshakeStep {
  enum class Kind { kWaiting, kGone, kRefused, kAttached };
  Kind kind = Kind::kWaiting;
  std::string_view refusal = {};
  Attached attached = {};
};

/// What the door knows when somebody asks.
struct HandshakeLimits {
  const RingDoorOptions& options;
  shm::SegmentReserve& reserve;
  bool draining = false;
  bool full = false;                                  ///< max_rings are attached
  std::shared_ptr<shm::CopyBudget> budget = nullptr;  ///< of all rings
  std::function<void()> turn = nullptr;               ///< of that budget, for the newcomer
};

/// Reads the request from `connection`, if it is there by now, and does what it asks for. Never blocks.
HandshakeStep take_handshake(int connection, const HandshakeLimits& limits);
/// What the reply says and carries.
struct Grant {
  std::uint64_t ring = 0;
  std::uint32_t generation = 1;
  std::uint32_t features = 0;
  std::size_t max_body_bytes = 0;
  int response_fd = -1;
  int doorbell_fd = -1;
  int channel_fd = -1;  ///< the client's end
};
/// Sends the reply with its three descriptors. An error: the client is gone, or takes nothing.
Status send_grant(int connection, const Grant& grant);
/// Names the refusal and says what to do about it, as far as the peer still listens.
void send_refusal(int connection, std::string_view refusal);

}  // namespace ringside::worker
