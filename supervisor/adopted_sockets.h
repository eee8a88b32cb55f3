#pragma once
// Listening sockets that somebody else made and handed to this process: systemd's socket units, by sd_listen_fds(3)
// (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES and descriptors from 3 on). They stay the other's: their files are never
// removed, and their rights never changed. Nothing handed over is an ordinary start.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::supervisor {

class AdoptedSockets {
 public:
  AdoptedSockets() = default;

  /// Takes what this process was handed, and takes the variables out of the environment. The descriptors become
  /// CLOEXEC and non-blocking. Once, before there are threads.
  /// kInvalid: a descriptor has a name that we do not know, or is not what its name needs; all are closed. What to do
  /// about it stands in the log.
  static Result<AdoptedSockets> take();

  /// Gives away those of one name (runtime, ring, http, control or metrics); none, one, or several.
  [[nodiscard]] std::vector<UniqueFd> give(std::string_view name);

 private:
  struct Socket {
    std::string name;
    UniqueFd fd;
  };
  std::vector<Socket> sockets_;
};

}  // namespace ringside::supervisor
