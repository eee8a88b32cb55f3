#pragma once
// Who may connect. The rights of the runtime folder and of the socket files decide first; this decides second, by what
// the kernel says of the peer (SO_PEERCRED, SO_PEERGROUPS). Pure.

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "base/unix_socket.h"

namespace ringside::supervisor {

/// Admitted besides root and the service's own user.
struct PeerList {
  std::vector<uid_t> users;
  std::vector<gid_t> groups;  ///< of the peer's primary and supplementary groups, any one does
};

/// Empty when the peer may connect; otherwise the name of the check that it failed, for the log.
[[nodiscard]] std::string_view refused_by(const PeerCredentials& peer, uid_t own_uid, const PeerList& list);

}  // namespace ringside::supervisor
