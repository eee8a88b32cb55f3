#pragma once
// The link between ringsided and a worker: protobuf messages with descriptors beside them, one per SEQPACKET packet.
// Framing only; who says what when stands in proto/ringside/link/v1/link.proto.

#include <google/protobuf/message_lite.h>

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::rpc {

/// The longest message on a link; larger things travel in memfds.
inline constexpr std::size_t kMaxLinkMessage = std::size_t{64} * 1024;
/// The number under which a worker finds its end of the link.
inline constexpr int kWorkerLinkFd = 3;

/// One end of a link. One thread at a time may send and one may receive.
class Link {
 public:
  explicit Link(UniqueFd socket) : socket_(std::move(socket)) {}

  /// kFull: the socket is non-blocking and has no room. kUnavailable: the other end is gone.
  Status send(const google::protobuf::MessageLite& message, std::span<const int> descriptors = {});

  struct Received {
    std::vector<UniqueFd> descriptors;
    bool end_of_file = false;
    bool descriptors_lost = false;  ///< this process had no number free for them
  };
  /// Receives one message into `message`. kFull: nothing there (non-blocking). kPeerLied: not a message of this link.
  Result<Received> receive(google::protobuf::MessageLite& message);

  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  UniqueFd socket_;
};

/// A sealed memfd that holds `message`, for what is larger than a link's packet.
Result<UniqueFd> to_memfd(const google::protobuf::MessageLite& message);
/// Reads a message back from such a memfd.
Status from_memfd(int fd, google::protobuf::MessageLite& message);

}  // namespace ringside::rpc
