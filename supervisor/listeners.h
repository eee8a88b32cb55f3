#pragma once
// The sockets: adopted where systemd handed one over, else bound in the runtime folder and removed at the end, or a
// port of TCP; watched, accepted from, checked. Who takes a connection is decided elsewhere. The loop's thread only.

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
#include "supervisor/adopted_sockets.h"
#include "supervisor/config_edge.h"
#include "supervisor/event_loop.h"
#include "supervisor/handover.h"
#include "supervisor/peer_check.h"
#include "supervisor/runtime_folder.h"

namespace ringside::supervisor {

/// A socket, by what it is for.
struct ListenerSpec {
  std::string_view handed_as;  ///< its name when systemd hands it over
  std::string_view file;       ///< in the runtime folder, when it is ours
  SocketKind kind;
  std::optional<link::v1::Connection::Door> door;  ///< of the workers; none: the supervisor's own
  bool open = true;                                ///< false: no door needs it
  std::optional<TcpPlace> place = {};              ///< a port for strangers instead, whom workers check by themselves

  [[nodiscard]] bool for_workers() const { return door.has_value(); }
};
/// Every socket there is; open are those that these doors and this edge need, control.sock and metrics.sock.
[[nodiscard]] std::vector<ListenerSpec> listeners_for(const std::vector<std::string>& doors, const EdgeConfig& edge);

class Listeners {
 public:
  struct Hooks {
    std::function<bool()> may_accept;  ///< asked before each connection for a worker
    std::function<void(Accepted)> to_worker;
    std::function<void(UniqueFd, uid_t peer)> to_control;
    std::function<void(UniqueFd)> to_metrics;
    /// A peer was refused. A descriptor that is valid was sent an answer and should stay open until that can be read.
    std::function<void(UniqueFd)> refused;
  };

  /// One that the program before ours had open.
  struct Inherited {
    std::string file;
    UniqueFd fd;
    bool ours = false;  ///< bound, not adopted
  };

  struct Options {
    std::vector<ListenerSpec> specs;
    AdoptedSockets adopted;
    PeerList peers;
    std::vector<Inherited> inherited = {};
  };

  /// Adopts what was handed over and binds the others; none stays when one cannot be bound. A socket that was handed
  /// over although its door is off is listened at too: its connections are closed at once, since the kernel would let
  /// them wait for ever. Everything passed by reference outlives the listeners.
  static Result<std::unique_ptr<Listeners>> open(EventLoop& loop, const Clock& clock, const RuntimeFolder& folder,
                                                 Options options, Hooks hooks);
  /// Closes them all, and removes those that were bound here.
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  /// Takes connections for workers from now on, or leaves them in the kernel's queue. The supervisor's own are always
  /// served.
  void accept_for_workers(bool accept);
  /// Another configuration: who may connect, and which doors there are. What is new is bound, what is off is closed
  /// (or, adopted, turns its clients away); all others stay as they are. A socket that cannot be bound is the error;
  /// then only those before it have changed.
  Status change(EventLoop& loop, const RuntimeFolder& folder, const std::vector<ListenerSpec>& specs, PeerList peers);
  /// All that are open, for the program that takes our place. The files of these descriptors stay.
  struct Open {
    std::string file;
    int fd;
    bool ours;
  };
  [[nodiscard]] std::vector<Open> open_sockets() const;
  /// Closes all but the supervisor's own, and removes those that were bound here.
  void close_for_workers();
  /// By file name, since the start.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& refused() const { return refused_; }
  /// Goes on from what the program before ours had counted.
  void count_from(const std::map<std::string, std::uint64_t>& refused) {
    for (const auto& [socket, count] : refused) refused_[socket] += count;
  }

 private:
  struct Listener;
  Listeners(const Clock& clock, PeerList peers, Hooks hooks);
  Status bind(EventLoop& loop, const RuntimeFolder& folder, const ListenerSpec& spec);
  struct Owner {
    bool ours = false;  ///< bound by us, not adopted
    std::string path;   ///< the file to remove at the end; empty: none
  };
  Status add(EventLoop& loop, const ListenerSpec& spec, UniqueFd fd, Owner owner);
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
