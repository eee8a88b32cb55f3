#pragma once
// The gRPC door: the contract, grpc.health.v1 and reflection on connections that somebody else accepted. The same
// server carries the own channels of rings (whatever doors are on, a ring has one): a connection is adopted either way,
// and a call whose body is a handle is told from others by the handle. No gRPC type is seen outside grpc_door.cc.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "rpc/mutual_tls.h"
#include "shm/client_end.h"
#include "worker/runtime/runtime.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace ringside::worker {

/// What the door needs of the rings attached to this worker, to serve calls whose bodies are handles. Thread-safe.
class BodyHandles {
 public:
  virtual ~BodyHandles() = default;
  /// A private copy of the body that a request's handle names, with mcp::kBodyPadding behind its end. A failure ends
  /// the call with the gRPC code that rpc/errors.h has for it: NOT_FOUND for kNotFound (no such ring here, nothing
  /// ran), INVALID_ARGUMENT for kInvalid (stale) and kPeerLied (the implementation ends that ring).
  virtual Result<std::string> read(const shm::Handle& handle) = 0;
  /// Lends the answer of the call whose request came as `request`. Any failure but kInvalid sends the body inline; with
  /// kInvalid the caller has given up.
  virtual Result<shm::Handle> lend(const shm::Handle& request, std::string_view body) = 0;
};

struct GrpcDoorOptions {
  BodyHandles* handles = nullptr;          ///< outlives the door; null: every handle is refused
  grpc::Service* extra_service = nullptr;  ///< outlives the door; served beside the contract (RingService); may be null
  std::optional<rpc::MutualTls> tls = {};  ///< of the remote workers' door, whose clients come over TCP
  Duration max_connection_age = Duration(0);  ///< older connections are asked to reconnect; 0: never
};

/// Thread-safe. `runtime` outlives it; no call of this door is under way once it is destroyed.
class GrpcDoor {
 public:
  /// Starts the server without any port. kSystem when gRPC cannot.
  static Result<std::unique_ptr<GrpcDoor>> start(Runtime& runtime, GrpcDoorOptions options);
  /// drain(0), then waits for what is under way to be answered or cancelled.
  ~GrpcDoor();
  GrpcDoor(const GrpcDoor&) = delete;
  GrpcDoor& operator=(const GrpcDoor&) = delete;

  /// Serves a connected, non-blocking stream socket. Closed at once while draining.
  void adopt(UniqueFd connection);
  /// What grpc.health.v1 says from now on; Watch tells whoever waits for it. While draining that is not changed.
  void tell(Health health);
  /// Says "draining" and NOT_SERVING from now on; connections and calls go on, so that a prober can read it.
  void announce_drain();
  /// Takes no connection any more, tells clients to go away, and waits at most `within` for the calls under way; what
  /// is left is cancelled. Clients without a call get a moment to leave. Blocks. Later calls do nothing.
  void drain(Duration within);

 private:
  struct State;
  explicit GrpcDoor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringside::worker
