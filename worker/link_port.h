#pragma once
// The worker's side of its link to the supervisor: what any thread wants to say is queued and sent by the thread that
// owns the link, and epochs are advanced by asking the supervisor.

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ringside/link/v1/link.pb.h"
#include "rpc/link.h"

namespace ringside::worker {

class LinkPort {
 public:
  /// `link` is non-blocking. kSystem when the machine has no descriptor left.
  static Result<std::unique_ptr<LinkPort>> create(rpc::Link link);

  /// Queues a message and wakes the owner; `descriptor` (-1: none) goes with it and stays open until it is sent. Any
  /// thread.
  void post(link::v1::ToSupervisor message, int descriptor = -1);
  /// Wakes the owner without a message. Any thread.
  void wake();
  /// Asks for the next epoch; `done` runs on the owner's thread once every worker can see it. Any thread.
  void advance_epoch(std::function<void()> done);

  // The rest is for the thread that owns the link.

  /// Readable when something was posted.
  [[nodiscard]] int wake_fd() const { return wake_.get(); }
  [[nodiscard]] int link_fd() const { return link_.fd(); }
  /// True while messages wait for room on the link: poll for POLLOUT too.
  [[nodiscard]] bool wants_to_write() const;
  /// Sends what is queued, as far as the link takes it. kUnavailable: the supervisor is gone.
  Status flush();
  /// Receives one message; EpochAdvanced is dealt with here and comes back as an empty message.
  Result<rpc::Link::Received> receive(link::v1::ToWorker& message);

 private:
  LinkPort(rpc::Link link, UniqueFd wake) : link_(std::move(link)), wake_(std::move(wake)) {}

  rpc::Link link_;
  UniqueFd wake_;
  mutable std::mutex mutex_;
  std::deque<std::pair<link::v1::ToSupervisor, int>> outgoing_;
  std::unordered_map<std::uint64_t, std::function<void()>> waiting_;
  std::uint64_t next_token_ = 1;
};

}  // namespace ringside::worker
