#pragma once
// control.sock's server: ringside.control.v1.Control, grpc.health.v1 and reflection, on connections that the loop
// accepted. It answers from the last snapshot that the loop has published, whatever the workers do; orders go to the
// loop, which answers them. No gRPC type is seen outside control_server.cc and event_stream.cc.

#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ringside/control/v1/control.pb.h"
#include "supervisor/event_book.h"
#include "supervisor/health.h"
#include "supervisor/meter_book.h"

namespace ringside::supervisor {

/// What a Status call answers. Times are told as they are when the call comes.
struct Snapshot {
  control::v1::StatusResponse status;       ///< without uptime_ms and up_ms
  SteadyTime started;                       ///< the supervisor
  std::vector<SteadyTime> workers_started;  ///< by index in status.workers; SteadyTime::max(): no process
  std::vector<std::size_t> slots;           ///< by index in status.workers: whose meters are its own
  OverallHealth health;
  std::shared_ptr<const MeterBook::View> meters;  ///< may be null
};

namespace order {
struct SetWorkers {
  std::uint32_t workers;
};
struct DrainWorker {
  std::uint32_t index;
};
struct RestartWorker {
  std::uint32_t index;
};
struct Reload {};
struct Upgrade {};
}  // namespace order
using Order = std::variant<order::SetWorkers, order::DrainWorker, order::RestartWorker, order::Reload, order::Upgrade>;
/// Answers an order, once, on any thread; the last copy that goes away unused says that ringsided is stopping.
using OrderAnswer = std::function<void(control::v1::OrderResponse)>;
/// Takes an order, on any thread.
using TakeOrder = std::function<void(Order, OrderAnswer)>;

/// publish() and adopt() belong to the loop's thread; calls are answered on gRPC's. A loop that has not published for
/// 10 s is stuck: then nothing is SERVING, "liveness" included.
class ControlServer {
 public:
  /// kSystem when gRPC cannot start. `clock` and `book` outlive the server.
  static Result<std::unique_ptr<ControlServer>> start(const Clock& clock, EventBook& book, TakeOrder take_order);
  /// Lets calls under way finish for a moment, then cancels them.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Serves a connected, non-blocking stream socket. Without `may_order` its peer may look, and gets PERMISSION_DENIED
  /// for an order.
  void adopt(UniqueFd connection, bool may_order);
  void publish(Snapshot snapshot);
  /// What a Status call answers now. Any thread.
  [[nodiscard]] control::v1::StatusResponse status() const;

 private:
  struct State;
  explicit ControlServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ringside::supervisor
