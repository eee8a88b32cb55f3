#pragma once
// The runtime in the middle: every door gives it calls, it answers them. It owns the sessions and the merged catalog
// and asks upstreams. Thread-safe; lives until after every door is closed.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "worker/federation/federation.h"
#include "worker/runtime/admissions.h"
#include "worker/runtime/call.h"
#include "worker/runtime/health.h"
#include "worker/runtime/meter.h"
#include "worker/runtime/relay.h"
#include "worker/runtime/sessions.h"
#include "worker/store/store.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

/// Tells every worker that cached sessions may be stale, and calls `done` once all can know. Any thread.
using Invalidate = std::function<void(std::function<void()> done)>;

struct RuntimeOptions {
  std::size_t max_body_bytes = 64ULL << 20U;
  Duration call_timeout = std::chrono::seconds(60);
  std::int64_t session_ttl_ms = 3'600'000;
  std::int64_t event_ttl_ms = 3'600'000;  ///< how long a client may come back for what it has missed
  FederationOptions federation = {};
  AdmissionOptions admissions = {};
  bool transport_echo = false;        ///< answer POST /_ringside/echo with its own body
  bool edge_requires_session = true;  ///< of a POST that comes from the edge
  std::string version;
  std::string mode = "full";  ///< what HealthCheck says
  Duration slow_call{0};      ///< a call that takes as long gets a line in the log; 0: none does
  std::uint64_t id_seed = 0;  ///< of the ids of calls that bring none; of this worker alone
  std::string home;           ///< where other workers reach this one (`MACHINE|ADDRESS`); empty: there are no others
  std::shared_ptr<Relay> relay = {};  ///< null with an empty home
};

struct RuntimeStats {
  std::uint64_t calls = 0;
  std::uint32_t under_way = 0;
  std::uint64_t refused = 0;  ///< 429
  std::array<std::uint64_t, kDoorCount> by_door{};
};

/// What a report tells beside that.
struct RuntimeMeters {
  std::vector<CallCount> calls;
  SessionStats sessions;
  std::size_t listening = 0;  ///< streams that were opened with GET
};

class Runtime {
 public:
  /// `epoch` is the page's counter (or any counter, in a test); it outlives the runtime. Without an event log streams
  /// are not numbered, and nobody can come back to one.
  Runtime(RuntimeOptions options, const Clock& clock, Stores stores, std::vector<std::unique_ptr<Upstream>> upstreams,
          const std::atomic<std::uint64_t>& epoch, Invalidate invalidate);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Answers `call` exactly once, perhaps before this returns. Any thread.
  void serve(const std::shared_ptr<Call>& call);

  /// Once in a while: ends streams and conversations whose session has ended, at another worker perhaps. May ask the
  /// store.
  void look_after_streams();
  /// About once a second: asks upstreams that have failed whether they are back, so that health comes back without a
  /// call; and, once somebody has asked for health, those that nobody has called yet.
  void look_after_upstreams();
  /// From now on the store is asked every so often, on a thread of its own, whether it does its work. Once.
  void watch_store(Duration every);
  /// How this worker is; a door adds whether it drains. Any thread.
  [[nodiscard]] Health health() const;
  /// The same for somebody outside who asks.
  [[nodiscard]] Health ask_health() const;
  /// Ends the streams that nothing else ends, so that the doors can drain. From now on new ones end at once.
  void end_streams();
  /// The sessions that live here may live elsewhere from now on: what was under way for them is done. May ask the
  /// store.
  void leave_home();

  [[nodiscard]] const RuntimeOptions& options() const;
  [[nodiscard]] RuntimeStats stats() const;
  [[nodiscard]] RuntimeMeters meters() const;
  [[nodiscard]] std::vector<UpstreamStatus> upstreams() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ringside::worker
