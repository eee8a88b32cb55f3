#include "supervisor/adopted_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace ringside::supervisor {
namespace {

struct Known {
  std::string_view name;
  int type;
  std::string_view directive;  ///< of a socket unit
};
constexpr std::array<Known, 5> kKnown = {{
    {"runtime", SOCK_STREAM, "ListenStream"},
    {"ring", SOCK_SEQPACKET, "ListenSequentialPacket"},
    {"http", SOCK_STREAM, "ListenStream"},
    {"control", SOCK_STREAM, "ListenStream"},
    {"metrics", SOCK_STREAM, "ListenStream"},
}};

const Known* find_known(std::string_view name) {
  for (const auto& known : kKnown) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

/// A sentence that says what is wrong with the descriptor and what to do; empty: nothing.
std::string fault_of(int fd, const Known& known) {
  const std::string right = "use " + std::string(known.directive) + "=/path in its socket unit";
  if (sd_is_socket(fd, AF_UNSPEC, 0, -1) <= 0) return "it is no socket; " + right;
  if (sd_is_socket(fd, AF_UNIX, 0, -1) <= 0) return "it is no Unix socket, and no other kind is served; " + right;
  if (sd_is_socket(fd, AF_UNIX, known.type, -1) <= 0) return "it is a Unix socket of another type; " + right;
  if (sd_is_socket(fd, AF_UNIX, known.type, 1) <= 0) {
    return "it does not listen: it is a connection, or was never made to; set Accept=no in its socket unit";
  }
  return {};
}

/// What LISTEN_FDNAMES holds, with an owner.
class Names {
 public:
  ~Names() {
    if (names_ == nullptr) return;
    for (char** each = names_; *each != nullptr; ++each) std::free(*each);
    std::free(static_cast<void*>(names_));
  }
  Names() = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  char*** out() { return &names_; }
  [[nodiscard]] std::string at(std::size_t index) const { return names_[index]; }

 private:
  char** names_ = nullptr;
};

}  // namespace

Result<AdoptedSockets> AdoptedSockets::take() {
  Names names;
  const int count = sd_listen_fds_with_names(/*unset_environment=*/1, names.out());
  if (count < 0) {
    log::error(
        "LISTEN_FDS, LISTEN_FDNAMES and the descriptors do not fit together; start ringsided by its unit error={}",
        std::generic_category().message(-count));
    return Error{Code::kInvalid, -count, "the sockets handed over cannot be told"};
  }
  AdoptedSockets adopted;
  for (int i = 0; i < count; ++i) {
    adopted.sockets_.push_back({names.at(static_cast<std::size_t>(i)), UniqueFd(SD_LISTEN_FDS_START + i)});
  }
  // Every fault is told, not just the first, so that the units can be mended in one go.
  bool fine = true;
  for (const auto& [name, fd] : adopted.sockets_) {
    const Known* known = find_known(name);
    const std::string fault =
        known == nullptr
            ? "no socket of ours has this name; FileDescriptorName= is one of runtime, ring, http, control, metrics"
            : fault_of(fd.get(), *known);
    if (!fault.empty()) {
      log::error("a socket handed over by systemd is refused: {} name=\"{}\" descriptor={}", fault,
                 log::printable(name), fd.get());
      fine = false;
      continue;
    }
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
      return Error{Code::kSystem, errno, "a socket handed over cannot be made non-blocking"};
    }
  }
  if (!fine) return Error{Code::kInvalid, 0, "a socket handed over is not one that ringsided can serve"};
  return adopted;
}

std::vector<UniqueFd> AdoptedSockets::give(std::string_view name) {
  std::vector<UniqueFd> out;
  for (auto& socket : sockets_) {
    if (socket.name == name) out.push_back(std::move(socket.fd));
  }
  std::erase_if(sockets_, [&](const Socket& socket) { return socket.name == name; });
  return out;
}

}  // namespace ringside::supervisor
