#include "rpc/link.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/check.h"
#include "base/unix_socket.h"

namespace ringside::rpc {
namespace {

constexpr unsigned kMemfdSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
// Far above any configuration; a bound on what one memfd can make its reader allocate.
constexpr std::size_t kMaxMemfdMessage = 16U << 20U;

}  // namespace

Status Link::send(const google::protobuf::MessageLite& message, std::span<const int> descriptors) {
  const std::string bytes = message.SerializeAsString();
  // An empty packet reads as the end of the link.
  RS_CHECK(!bytes.empty(), "a message of the link says something");
  if (bytes.size() > kMaxLinkMessage) return Error{Code::kTooLarge, EMSGSIZE, "a message is too long for the link"};
  return send_message(socket_.get(), bytes, descriptors);
}

Result<Link::Received> Link::receive(google::protobuf::MessageLite& message) {
  message.Clear();
  Datagram datagram = RS_TRY(receive_message(socket_.get(), kMaxLinkMessage));
  if (!datagram.end_of_file && !message.ParseFromString(datagram.bytes)) {
    return Error{Code::kPeerLied, 0, "a packet on the link is no message of the link"};
  }
  return Received{std::move(datagram.descriptors), datagram.end_of_file, datagram.descriptors_lost};
}

Result<UniqueFd> to_memfd(const google::protobuf::MessageLite& message) {
  const std::string bytes = message.SerializeAsString();
  if (bytes.size() > kMaxMemfdMessage) return Error{Code::kTooLarge, EMSGSIZE, "a message is too long for a memfd"};
  UniqueFd fd(::memfd_create("ringside-message", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Error{Code::kSystem, errno, "a memfd cannot be made"};
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t now = ::write(fd.get(), bytes.data() + written, bytes.size() - written);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return Error{Code::kSystem, errno, "a memfd cannot be written"};
    written += static_cast<std::size_t>(now);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, kMemfdSeals) != 0) return Error{Code::kSystem, errno, "a memfd cannot be sealed"};
  return fd;
}

Status from_memfd(int fd, google::protobuf::MessageLite& message) {
  message.Clear();
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || static_cast<unsigned>(seals) != kMemfdSeals) {
    return Error{Code::kPeerLied, 0, "what should be a message is no sealed memfd"};
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0) return Error{Code::kSystem, errno, "a memfd cannot be looked at"};
  if (static_cast<std::size_t>(info.st_size) > kMaxMemfdMessage) {
    return Error{Code::kPeerLied, 0, "a memfd is longer than any message"};
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t now = ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return Error{Code::kSystem, errno, "a memfd cannot be read"};
    done += static_cast<std::size_t>(now);
  }
  if (!message.ParseFromString(bytes)) return Error{Code::kPeerLied, 0, "a memfd holds another message than it should"};
  return {};
}

}  // namespace ringside::rpc
