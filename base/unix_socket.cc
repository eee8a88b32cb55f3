#include "base/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/log.h"

namespace ringside {
namespace {

constexpr int kBacklog = 1024;
constexpr mode_t kSocketMode = 0660;
constexpr time_t kConnectTimeoutS = 5;

int type_of(SocketKind kind) { return kind == SocketKind::kStream ? SOCK_STREAM : SOCK_SEQPACKET; }

Error system_error(std::string_view message) { return Error{Code::kSystem, errno, message}; }

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() > kMaxSocketPath) {
    log::error("socket path has {} bytes, a Unix socket takes 1 to {} path={}", path.size(), kMaxSocketPath, path);
    return Error{Code::kInvalid, ENAMETOOLONG,
                 "the path of a socket is empty or too long; choose a shorter --runtime-dir"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Only a refusal means that nobody serves it: a full backlog, another kind of socket or a missing right are
/// somebody's.
bool is_served(const sockaddr_un& address, SocketKind kind) {
  const UniqueFd probe(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno != ECONNREFUSED;
}

/// Removes a socket file that nobody serves; kUnavailable when somebody answers there.
Status remove_stale(const std::string& path, const sockaddr_un& address, SocketKind kind) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status() : Status(system_error("a socket's place cannot be looked at"));
  }
  if (!S_ISSOCK(info.st_mode)) {
    log::error("something that is no socket stands where a socket should be; move it away path={}", path);
    return Error{Code::kInvalid, EEXIST, "something that is no socket stands where a socket should be; move it away"};
  }
  if (is_served(address, kind)) {
    log::error("another process serves this socket; stop it or choose another --runtime-dir path={}", path);
    return Error{Code::kUnavailable, EADDRINUSE,
                 "another process serves this socket; stop it or choose another --runtime-dir"};
  }
  if (::unlink(path.c_str()) != 0) return system_error("a stale socket cannot be removed");
  return {};
}

class PrivateUmask {
 public:
  PrivateUmask() : old_(::umask(static_cast<mode_t>(~kSocketMode & 0777U))) {}
  ~PrivateUmask() { ::umask(old_); }
  PrivateUmask(const PrivateUmask&) = delete;
  PrivateUmask& operator=(const PrivateUmask&) = delete;

 private:
  mode_t old_;
};

}  // namespace

Status check_private_directory(const std::string& directory) {
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0)
    return Error{Code::kDenied, errno, "the folder of a socket cannot be looked at"};
  if (!S_ISDIR(info.st_mode)) return Error{Code::kDenied, ENOTDIR, "the folder of a socket is not a folder"};
  if ((info.st_mode & S_IWOTH) != 0) {
    log::error("the socket folder can be written by others; run: chmod o-w {}", directory);
    return Error{Code::kDenied, EPERM,
                 "the folder of a socket can be written by others; take that right away (chmod o-w)"};
  }
  return {};
}

Result<UniqueFd> listen_at(const std::string& path, SocketKind kind) {
  const sockaddr_un address = RS_TRY(address_of(path));
  RS_TRY_STATUS(check_private_directory(std::filesystem::path(path).parent_path().string()));
  RS_TRY_STATUS(remove_stale(path, address, kind));
  UniqueFd fd(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return system_error("a socket cannot be made");
  {
    const PrivateUmask umask;
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return system_error("a socket cannot be bound");
    }
  }
  if (::listen(fd.get(), kBacklog) != 0) return system_error("a socket cannot listen");
  return fd;
}

Result<UniqueFd> connect_to(const std::string& path, SocketKind kind) {
  const sockaddr_un address = RS_TRY(address_of(path));
  UniqueFd fd(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC, 0));
  if (!fd) return system_error("a socket cannot be made");
  const timeval patience{kConnectTimeoutS, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);  // a full backlog would block for good
  int failed = 0;
  do {
    failed = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (failed != 0 && errno == EINTR);
  if (failed != 0) {
    const Code code = errno == EACCES ? Code::kDenied : Code::kUnavailable;
    return Error{code, errno, "nobody answers at the socket; is ringsided running with the same --runtime-dir?"};
  }
  const timeval for_ever{};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &for_ever, sizeof for_ever);
  return fd;
}

Result<std::pair<UniqueFd, UniqueFd>> socket_pair(SocketKind kind, bool blocking) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type_of(kind) | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0, ends.data()) != 0) {
    return system_error("a pair of sockets cannot be made");
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<PeerCredentials> peer_credentials(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return system_error("the peer of a socket cannot be told");
  }
  PeerCredentials peer{credentials.pid, credentials.uid, credentials.gid, {}};
  peer.groups.resize(64);
  while (true) {
    size = static_cast<socklen_t>(peer.groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) == 0) break;
    if (errno != ERANGE) return system_error("the groups of a socket's peer cannot be told");
    peer.groups.resize(size / sizeof(gid_t));
  }
  peer.groups.resize(size / sizeof(gid_t));
  return peer;
}

Status send_message(int socket, std::string_view bytes, std::span<const int> descriptors) {
  RS_CHECK(descriptors.size() <= kMaxDescriptors, "a message of ours carries at most kMaxDescriptors");
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
    return Error{Code::kFull, errno, "the link has no room"};
  if (errno == EPIPE || errno == ECONNRESET)
    return Error{Code::kUnavailable, errno, "the other end of the link is gone"};
  return system_error("a message cannot be sent");
}

Result<Datagram> receive_message(int socket, std::size_t max_bytes) {
  Datagram datagram;
  datagram.bytes.resize(max_bytes);
  iovec part{datagram.bytes.data(), max_bytes};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t received = 0;
  do {
    received = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Error{Code::kFull, errno, "the link has no message"};
    if (errno == ECONNRESET) return Error{Code::kUnavailable, errno, "the other end of the link is gone"};
    return system_error("a message cannot be received");
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      datagram.descriptors.emplace_back(fd);
    }
  }
  // The kernel cuts the list where there is no room for it, and where a descriptor finds no free number with us.
  const bool cut = (message.msg_flags & MSG_CTRUNC) != 0;
  datagram.descriptors_lost = cut && datagram.descriptors.size() < kMaxDescriptors;
  if (datagram.descriptors_lost) datagram.descriptors.clear();
  if ((message.msg_flags & MSG_TRUNC) != 0 || (cut && !datagram.descriptors_lost)) {
    return Error{Code::kPeerLied, 0, "a message was longer, or carried more descriptors, than the protocol allows"};
  }
  datagram.bytes.resize(static_cast<std::size_t>(received));
  datagram.end_of_file = received == 0 && datagram.descriptors.empty() && !datagram.descriptors_lost;
  return datagram;
}

}  // namespace ringside
