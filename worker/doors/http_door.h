#pragma once
// The HTTP door: Streamable HTTP, and /health, /ready and /live, on connections that somebody else accepted.

#include <functional>
#include <memory>

#include "base/unique_fd.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

/// Thread-safe. `runtime` outlives it; calls under way when it is destroyed are answered into the void.
class HttpDoor {
 public:
  explicit HttpDoor(Runtime& runtime);
  /// Closes what is open and joins the server's thread.
  ~HttpDoor();
  HttpDoor(const HttpDoor&) = delete;
  HttpDoor& operator=(const HttpDoor&) = delete;

  /// Serves a connected, non-blocking stream socket.
  void adopt(UniqueFd connection);
  /// Runs `what` on the server's thread, soon. Any thread.
  void run(std::function<void()> what);
  /// From now on /health and /ready say 503 "draining"; connections and calls go on, so that a prober can read it.
  void announce_drain();
  /// Answers what is under way, takes nothing new; `drained` is called once every connection is closed.
  void drain(std::function<void()> drained);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringside::worker
