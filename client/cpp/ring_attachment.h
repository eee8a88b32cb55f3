#pragma once
// The handshake on ring.sock: attaching a segment of ours to a worker, for the first time or again. Private to the
// library.

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "client/cpp/client.h"
#include "shm/client_end.h"

namespace ringside {

/// What a handshake leads to.
struct RingAttachment {
  std::unique_ptr<shm::ClientEnd> end;  ///< null where it was attached again: the caller has it
  UniqueFd socket;                      ///< stays open as long as the attachment; its end of file ends it
  UniqueFd channel;                     ///< our end of the attachment's gRPC channel
  std::uint64_t ring = 0;
  std::uint32_t generation = 0;  ///< how often this segment has been attached
  std::uint32_t features = 0;    ///< bits of shm/layout.h that both sides know
  int worker_pid = 0;
  std::size_t max_body_bytes = 0;  ///< of the worker

  /// The last thing to do with it once it has ended, and no call over its channel is under way: the worker that goes
  /// away waits for that.
  void hang_up() const;
};

/// Connects, makes a request segment and attaches it, within `options.connect_timeout`. kUnavailable: the door is not
/// open, or its worker takes no ring now (the reason is logged). kDenied: the worker does not take ours. kPeerLied: the
/// answer breaks the protocol.
Result<RingAttachment> attach_ring(const ClientOptions& options, bool handles);

/// The same with the segment of `end`, which has been detached from its worker; `before` is its last attachment. Ends
/// early, with kUnavailable, when `stop` becomes readable. kDenied besides: this worker cannot take up a ring where
/// another left it.
Result<RingAttachment> attach_ring_again(const ClientOptions& options, shm::ClientEnd& end,
                                         const RingAttachment& before, int stop);

}  // namespace ringside
