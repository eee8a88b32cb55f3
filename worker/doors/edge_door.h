#pragma once
// The HTTP edge: MCP clients that come over TCP, whom nobody has checked yet. Nothing that they say of who they are is
// believed; a Host or an Origin of elsewhere is refused, so that no web page reaches a server of this machine by DNS
// rebinding. Serves /mcp, /servers/ID/mcp and /live; operators' pages are not here.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "http/origin.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

/// Thread-safe. `runtime` outlives it; calls under way when it is destroyed are answered into the void.
class EdgeDoor {
 public:
  EdgeDoor(Runtime& runtime, http::EdgeNames names);
  /// Closes what is open and joins the server's thread.
  ~EdgeDoor();
  EdgeDoor(const EdgeDoor&) = delete;
  EdgeDoor& operator=(const EdgeDoor&) = delete;

  /// Serves a connected, non-blocking TCP socket; `peer_ip` is whose it is.
  void adopt(UniqueFd connection, std::string peer_ip);
  /// Runs `what` on the server's thread, soon. Any thread.
  void run(std::function<void()> what);
  /// Answers what is under way, takes nothing new; `drained` is called once every connection is closed.
  void drain(std::function<void()> drained);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringside::worker
