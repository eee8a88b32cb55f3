#pragma once
// What a worker serves with, built from its configuration: the session store, the upstreams, the runtime, the doors.

#include <atomic>
#include <memory>
#include <optional>

#include "base/call_page.h"
#include "base/epoch_page.h"
#include "base/result.h"
#include "ringside/link/v1/link.pb.h"
#include "rpc/link.h"
#include "worker/door_set.h"
#include "worker/link_port.h"
#include "worker/peers/peer_door.h"
#include "worker/pulse.h"
#include "worker/runtime/runtime.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {

/// Owns it all. For the thread of the link, but for doors().drain() (drain() is any thread's).
class Service {
 public:
  /// Takes Configure's two descriptors and opens the doors. Starts the log at the level that is configured. `port`
  /// outlives the service. kPeerLied: the descriptors are not what Configure promises.
  static Result<std::unique_ptr<Service>> open(const rpc::Link::Received& configure, LinkPort& port);

  /// Tells the supervisor how this worker is doing.
  void report();
  /// To be sent with Ready; -1: none.
  [[nodiscard]] int calls_fd() const { return calls_ ? calls_->fd() : -1; }
  /// Sessions are cached by this epoch page from now on; the supervisor is told so.
  void follow_epoch_page(int fd);
  [[nodiscard]] DoorSet& doors() { return *doors_; }
  /// Finishes what is under way within the time given. Blocks; any thread.
  void drain(Duration within);

 private:
  Service(EpochReader epoch, LinkPort& port) : epoch_(std::move(epoch)), port_(port) {}
  Status build(const link::v1::WorkerConfig& config);

  std::atomic<bool> draining_ = false;
  // In the order they are built; they go away in reverse.
  EpochReader epoch_;
  LinkPort& port_;
  std::shared_ptr<CallPage> calls_;
  std::unique_ptr<HttpRoads> http_roads_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<PeerDoor> peers_;
  std::unique_ptr<DoorSet> doors_;
  std::optional<Pulse> pulse_;
};

}  // namespace ringside::worker
