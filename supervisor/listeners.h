#pragma once
// The sockets in the runtime folder: bound, watched, accepted from, checked, and removed at the end. Who takes a
// connection is decided elsewhere. The loop's thread only.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unix_socket.h"
#include "ringside/link/v1/link.pb.h"
#include "supervisor/event_loop.h"
#include "supervisor/handover.h"
#include "supervisor/peer_check.h"
#include "supervisor/runtime_folder.h"

namespace ringside::supervisor {

/// A socket of the folder.
struct ListenerSpec {
  std::string_view name;
  SocketKind kind;
  std::optional<link::v1::Connection::Door> door;  ///< of the workers; none: the supervisor's own (control.sock)

  [[nodiscard]] bool for_workers() const { return door.has_value(); }
};
/// The sockets that these doors need, and control.sock.
[[nodiscard]] std::vector<ListenerSpec> listeners_for(const std::vector<std::string>& doors);

class Listeners {
 public:
  struct Hooks {
    std::function<bool()> may_accept;  ///< asked before each connection for a worker
    std::function<void(Accepted)> to_worker;
    std::function<void(UniqueFd)> to_control;
    /// A peer was refused. A descriptor that is valid was sent an answer and should stay open until that can be read.
    std::function<void(UniqueFd)> refused;
  };

  /// Binds every socket; none stays when one cannot be bound. Everything passed outlives the listeners.
  static Result<std::unique_ptr<Listeners>> bind(EventLoop& loop, const Clock& clock, const RuntimeFolder& folder,
                                                 const std::vector<ListenerSpec>& specs, PeerList peers, Hooks hooks);
  /// Closes and removes them all.
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  /// Takes connections for workers from now on, or leaves them in the kernel's queue. control.sock is always served.
  void accept_for_workers(bool accept);
  /// Closes and removes all but control.sock.
  void close_for_workers();
  /// By socket name, since the start.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& refused() const { return refused_; }

 private:
  struct Listener;
  Listeners(const Clock& clock, PeerList peers, Hooks hooks);
  Status add(EventLoop& loop, const RuntimeFolder& folder, const ListenerSpec& spec);
  void accept_some(Listener& listener);
  void take(Listener& listener, UniqueFd fd);
  void refuse(const Listener& listener, UniqueFd fd, const PeerCredentials& peer, std::string_view check);
  void pause(Listener& listener, int error);
  void choose_events(Listener& listener) const;

  const Clock& clock_;
  PeerList peers_;
  Hooks hooks_;
  bool accepting_ = false;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<std::string, std::uint64_t> refused_;
};

}  // namespace ringside::supervisor
