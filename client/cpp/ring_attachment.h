#pragma once
// Attaching a ring through ring.sock, and noticing when the attachment is over. Private to the library.

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "client/cpp/client.h"
#include "shm/client_end.h"

namespace ringside {

/// What a handshake leads to.
struct RingAttachment {
  std::unique_ptr<shm::ClientEnd> end;
  UniqueFd socket;   ///< stays open as long as the attachment; the worker's close ends it
  UniqueFd channel;  ///< our end of the attachment's gRPC channel
  std::uint64_t ring = 0;
  int worker_pid = 0;
  std::size_t max_body_bytes = 0;  ///< of the worker
};

/// Connects, makes a request segment and attaches it, within `options.connect_timeout`. kUnavailable: the door is not
/// open, or its worker takes no ring now (the reason is logged). kDenied: the worker does not take ours. kPeerLied: the
/// answer breaks the protocol.
Result<RingAttachment> attach_ring(const ClientOptions& options, bool handles);

/// A thread that waits for the worker's end of an attachment to close.
class RingWatch {
 public:
  /// `gone` runs once, on the watch's thread, when the worker has closed the attachment. `socket` outlives the watch.
  static Result<std::unique_ptr<RingWatch>> start(int socket, std::function<void()> gone);
  /// Joins; `gone` does not run any more.
  ~RingWatch();
  RingWatch(const RingWatch&) = delete;
  RingWatch& operator=(const RingWatch&) = delete;

 private:
  explicit RingWatch(UniqueFd stop) : stop_(std::move(stop)) {}
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace ringside
