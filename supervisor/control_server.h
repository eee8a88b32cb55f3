#pragma once
// control.sock's server: ringside.control.v1.Control, grpc.health.v1 and reflection, on connections that the loop
// accepted. It answers from the last snapshot that the loop has published, whatever the workers do. No gRPC type is
// seen outside control_server.cc.

#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ringside/control/v1/control.pb.h"
#include "supervisor/health.h"
#include "supervisor/meter_book.h"

namespace ringside::supervisor {

/// What a Status call answers. Times are told as they are when the call comes.
struct Snapshot {
  control::v1::StatusResponse status;       ///< without uptime_ms and up_ms
  SteadyTime started;                       ///< the supervisor
  std::vector<SteadyTime> workers_started;  ///< by index in status.workers; SteadyTime::max(): no process
  OverallHealth health;
  std::shared_ptr<const MeterBook::View> meters;  ///< may be null
};

/// publish() and adopt() belong to the loop's thread; calls are answered on gRPC's. A loop that has not published for
/// 10 s is stuck: then nothing is SERVING, "liveness" included.
class ControlServer {
 public:
  /// kSystem when gRPC cannot start. `clock` outlives the server.
  static Result<std::unique_ptr<ControlServer>> start(const Clock& clock);
  /// Lets calls under way finish for a moment, then cancels them.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Serves a connected, non-blocking stream socket.
  void adopt(UniqueFd connection);
  void publish(Snapshot snapshot);
  /// What a Status call answers now. Any thread.
  [[nodiscard]] control::v1::StatusResponse status() const;

 private:
  struct State;
  explicit ControlServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringside::supervisor
