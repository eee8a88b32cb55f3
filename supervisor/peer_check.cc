#include "supervisor/peer_check.h"

#include <algorithm>

namespace ringside::supervisor {

std::string_view refused_by(const PeerCredentials& peer, uid_t own_uid, const PeerList& list) {
  if (peer.uid == 0 || peer.uid == own_uid) return {};
  if (std::find(list.users.begin(), list.users.end(), peer.uid) != list.users.end()) return {};
  for (const gid_t group : list.groups) {
    if (peer.gid == group) return {};
    if (std::find(peer.groups.begin(), peer.groups.end(), group) != peer.groups.end()) return {};
  }
  if (list.users.empty() && list.groups.empty()) return "only root and the service's own user may connect";
  return list.groups.empty() ? "not a user of peers.users"
                             : "not a user of peers.users, nor in a group of peers.groups";
}

}  // namespace ringside::supervisor
