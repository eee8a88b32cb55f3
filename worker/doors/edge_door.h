#pragma once
// The HTTP edge: MCP clients that come over TCP, whom nobody has checked yet. Nothing that they say of who they are is
// believed; a Host or an Origin of elsewhere is refused, so that no web page reaches a server of this machine by DNS
// rebinding; with TLS and a bearer token where these are configured. Serves /mcp, /servers/ID/mcp and /live; operators'
// pages are not here.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "http/origin.h"
#include "http/tls.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

struct EdgeDoorOptions {
  http::EdgeNames names;
  http::TlsFiles tls;       ///< empty: none
  std::string bearer_file;  ///< empty: nobody is asked for a token
};

/// Thread-safe. `runtime` outlives it; calls under way when it is destroyed are answered into the void.
class EdgeDoor {
 public:
  /// kInvalid: a file cannot be used; the log says which.
  static Result<std::unique_ptr<EdgeDoor>> open(Runtime& runtime, EdgeDoorOptions options);
  /// Closes what is open and joins the server's thread.
  ~EdgeDoor();
  EdgeDoor(const EdgeDoor&) = delete;
  EdgeDoor& operator=(const EdgeDoor&) = delete;

  /// Serves a connected, non-blocking TCP socket; `peer_ip` is whose it is.
  void adopt(UniqueFd connection, std::string peer_ip);
  /// About once a second: takes a certificate or a token that has changed. Any thread.
  void look_after_files();
  /// Runs `what` on the server's thread, soon. Any thread.
  void run(std::function<void()> what);
  /// Answers what is under way, takes nothing new; `drained` is called once every connection is closed.
  void drain(std::function<void()> drained);

 private:
  struct State;
  explicit EdgeDoor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringside::worker
