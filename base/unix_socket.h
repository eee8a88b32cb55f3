#pragma once
// Unix sockets: listening under a private umask, connecting, who is at the other end, and descriptors in messages.
// Every descriptor made here is CLOEXEC. Free functions, any thread; listen_at changes the process's umask for a
// moment, so it is for start-up, before threads.

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside {

enum class SocketKind { kStream, kSeqPacket };

/// The longest path a Unix socket may have, without the closing zero byte.
inline constexpr std::size_t kMaxSocketPath = 107;

/// kDenied when `directory` is missing, is not a folder, or can be written by others (sticky folders count as
/// writable).
Status check_private_directory(const std::string& directory);

/// Binds and listens at `path` (mode 0660, non-blocking). A socket file that nobody serves any more is replaced;
/// kUnavailable when somebody does. The parent folder must pass check_private_directory.
Result<UniqueFd> listen_at(const std::string& path, SocketKind kind);

/// Connects (left blocking). kUnavailable when nobody listens there, or takes no connection for 5 s.
Result<UniqueFd> connect_to(const std::string& path, SocketKind kind);

/// A connected pair; `blocking` says in which mode both ends start.
Result<std::pair<UniqueFd, UniqueFd>> socket_pair(SocketKind kind, bool blocking);

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< supplementary groups (SO_PEERGROUPS)
};
Result<PeerCredentials> peer_credentials(int socket);

/// The most descriptors one message of ours carries; a message with more is refused and all of them closed.
inline constexpr std::size_t kMaxDescriptors = 8;

struct Datagram {
  std::string bytes;
  std::vector<UniqueFd> descriptors;
  bool end_of_file = false;       ///< the other end is closed; bytes is empty
  bool descriptors_lost = false;  ///< some came, and this process had no number free for them: none is here
};

/// Sends one message of a SEQPACKET socket. kFull when a non-blocking socket has no room, kUnavailable when the peer is
/// gone.
Status send_message(int socket, std::string_view bytes, std::span<const int> descriptors = {});

/// Receives one message of at most `max_bytes`. kFull when a non-blocking socket has nothing, kPeerLied when the
/// message or its list of descriptors was cut (everything received is closed first).
Result<Datagram> receive_message(int socket, std::size_t max_bytes);

}  // namespace ringside
