#pragma once
// The ring door: clients attach a shared-memory ring through ring.sock, and one thread takes their calls out of it,
// gives them to the runtime and writes the answers back. No gRPC is on the way of a call. Every attachment has a gRPC
// channel of its own beside the ring (one end of a socket pair, served by the worker's gRPC server whatever doors are
// on) for what finds no room in shared memory, for handles and for RingService.
//
// Order of life, which breaks the circle between this door and the gRPC server that serves its channels:
//
// clang-format off
//   RingDoor rings(options, runtime);      // no thread yet
//   …                                      // build the gRPC server with rings.handles() and rings.service()
//   rings.start(adopt_channel);            // which gives channels to that server
//   rings.adopt(…);                        // every connection accepted at ring.sock
//   rings.drain(drained);                  // wanted: a soft end
//   rings.stop();                          // joins the thread, ends every attachment; adopts nothing more
//   …                                      // shut the gRPC server down: it may still ask handles() and service()
//   ~RingDoor(), then ~Runtime()
// clang-format on
//
// A client that breaks the protocol loses its ring: the attachment ends, one log line and one counter name the reason
// (docs/protocol.md, "Refusals"), the others are served on.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "shm/segment.h"
#include "worker/runtime/runtime.h"

namespace grpc {
class Service;
}

namespace ringside::worker {

class BodyHandles;

struct RingDoorOptions {
  std::uint32_t max_rings = 64;
  std::uint64_t segment_bytes = shm::kDefaultSegmentBytes;  ///< of each response segment
  Duration spin{0};    ///< how long the thread looks for the next call before it parks; 0: not at all
  bool ring = true;    ///< feature: calls are taken from submission queues
  bool handle = true;  ///< feature: bodies of gRPC calls may be handles
  std::size_t max_body_bytes = 64ULL << 20U;
  std::size_t bodies_in_parts = 16;                      ///< of all rings, each way, as a multiple of max_body_bytes
  Duration handshake_timeout = std::chrono::seconds(5);  ///< for the one message that a new connection must send
};

struct RingDoorStats {
  std::uint64_t doorbells = 0;  ///< how often a client woke the ring thread
  std::uint64_t wakes = 0;      ///< how often an answer woke a client
  std::uint64_t answers_inline = 0;
  std::uint64_t answers_in_parts = 0;
  std::uint64_t requests_in_parts = 0;
  std::uint32_t rings = 0;                        ///< attached now
  std::uint64_t bytes = 0;                        ///< both segments of all of them
  std::size_t spare_segments = 0;                 ///< made in advance for the next one
  std::map<std::string, std::uint64_t> refusals;  ///< by reason, handshakes and rings that were ended for a lie
};

class RingDoor {
 public:
  /// Serves the channel end of a new attachment: a connected, non-blocking stream socket that speaks gRPC. Runs on the
  /// ring thread and must not block.
  using AdoptChannel = std::function<void(UniqueFd)>;

  /// `runtime` outlives the door.
  RingDoor(RingDoorOptions options, Runtime& runtime);
  /// stop(), if that has not been called. Nobody may be inside handles() or service() any more.
  ~RingDoor();
  RingDoor(const RingDoor&) = delete;
  RingDoor& operator=(const RingDoor&) = delete;

  /// Starts the ring thread. Once. kSystem when the machine has no descriptor for it.
  Status start(AdoptChannel adopt_channel);

  /// Takes over a connection that was accepted at ring.sock and checked. Closed at once unless the thread runs. Any
  /// thread.
  void adopt(UniqueFd connection, pid_t peer_pid, uid_t peer_uid);

  /// Runs `what` on the ring thread, soon; dropped when there is none any more. Any thread.
  void run(std::function<void()> what);

  /// Soft end: newcomers are refused ("draining"), nothing more is taken from rings (cancels included), an attachment
  /// ends when its calls are answered (its channel lives until the client or the gRPC server closes it). `drained` runs
  /// once, on the ring thread or this one, when none is left. Any thread, once.
  void drain(std::function<void()> drained);

  /// Hard end: every attachment ends, calls under way are cancelled, the thread is joined. Any thread but the ring's,
  /// again and again.
  void stop();

  /// For the gRPC door: bodies behind handles. Any thread; lives as long as this door.
  [[nodiscard]] BodyHandles& handles();
  /// ringside.ring.v1.RingService, to be registered with the gRPC server that serves the channels.
  [[nodiscard]] grpc::Service& service();

  [[nodiscard]] RingDoorStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringside::worker
