#pragma once
// bench_peer as a child: the other side of a floor.

#include <sys/types.h>

namespace ringside::bench {

/// A running bench_peer, killed when it goes away.
class PeerProcess {
 public:
  /// `mode` as peer_main.cc names them; the descriptors become the child's kPeerFd and kPeerSecondFd.
  explicit PeerProcess(const char* mode, int first_fd, int second_fd = -1);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

}  // namespace ringside::bench
