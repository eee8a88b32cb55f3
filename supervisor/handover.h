#pragma once
// Connections between accept and worker: those that wait for a worker with room, and those kept for a moment after they
// were handed over, so that one whose worker dies unread can go to another. The loop's thread only; owns the
// descriptors it holds.
//
// A gRPC client begins with a preface (RFC 9113, section 3.4), which its server reads first. While that can still be
// peeked nobody has read a byte, and another worker may serve the connection as if nothing had happened.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ringside/link/v1/link.pb.h"

namespace ringside::supervisor {

/// An accepted and checked connection.
struct Accepted {
  UniqueFd fd;
  link::v1::Connection::Door door = link::v1::Connection::DOOR_UNKNOWN;
  pid_t peer_pid = 0;
  uid_t peer_uid = 0;
  std::string peer_ip = {};  ///< of a TCP peer
};

struct Load {
  std::size_t slot = 0;
  std::uint64_t connections = 0;
};
/// Slots from the least loaded to the most; among equals the one at or after `turn` comes first.
[[nodiscard]] std::vector<std::size_t> by_load(std::vector<Load> loads, std::size_t turn);

/// True while the first bytes to read from `socket` are gRPC's whole preface. Does not read them.
[[nodiscard]] bool preface_untouched(int socket);

class Handover {
 public:
  /// How long a connection is kept after it was handed over.
  static constexpr Duration kKeep = std::chrono::milliseconds(50);
  /// The most that are kept; beyond it the oldest go first.
  static constexpr std::size_t kMostKept = 4096;

  /// `loads` tells the workers that are ready; `hand` gives a connection to one (kFull: no room now; kUnavailable:
  /// lost).
  Handover(const Clock& clock, std::function<std::vector<Load>()> loads,
           std::function<Status(std::size_t slot, const Accepted&)> hand);

  /// Hands over, or lets wait.
  void offer(Accepted connection);
  /// Tries again for what waits. False when something goes on waiting.
  bool flush();
  [[nodiscard]] bool waiting() const { return !waiting_.empty(); }
  [[nodiscard]] const std::deque<Accepted>& those_waiting() const { return waiting_; }

  /// The slot's process is gone: its untouched connections wait for another worker, its other kept ones close.
  void worker_gone(std::size_t slot);
  /// Keeps a connection that nobody will serve open for as long as the kept ones, so that its peer can read our answer.
  void linger(UniqueFd fd);

  /// Closes what has been kept long enough.
  void expire();
  /// When expire() is due; SteadyTime::max(): nothing is kept.
  [[nodiscard]] SteadyTime next_expiry() const;
  /// Closes everything.
  void clear();

 private:
  struct Kept {
    Accepted connection;
    std::size_t slot;
    SteadyTime until;
  };
  void keep(Accepted connection, std::size_t slot);

  const Clock& clock_;
  std::function<std::vector<Load>()> loads_;
  std::function<Status(std::size_t, const Accepted&)> hand_;
  std::size_t turn_ = 0;
  std::deque<Accepted> waiting_;
  std::deque<Kept> kept_;  // by time
};

}  // namespace ringside::supervisor
