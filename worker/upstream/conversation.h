#pragma once
// What every upstream is told and how what it says is understood, whatever carries the messages. The bytes of requests
// and answers are never rewritten here. Thread-safe unless said otherwise.

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "mcp/envelope.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

/// The id of our initialize. Nothing else is under way while it is, so it can collide with no request's id.
inline constexpr std::uint64_t kInitializeId = 0;
inline constexpr std::string_view kInitializedNotification =
    R"({"jsonrpc":"2.0","method":"notifications/initialized"})";

/// initialize with our newest protocol version and no capabilities.
[[nodiscard]] std::string initialize_request(std::string_view client_version);
/// notifications/cancelled for request `id`; `reason` is a literal of ours without anything to escape.
[[nodiscard]] std::string cancelled_notification(std::uint64_t id, std::string_view reason);

/// One message of an upstream.
struct Incoming {
  enum class Kind {
    kAnswer,        ///< a response; `id` says to what
    kQuestion,      ///< a request to us; `reply` is what to send back
    kToolsChanged,  ///< notifications/tools/list_changed
    kProgress,      ///< notifications/progress; `id` says of what
    kNotice,        ///< any other notification
    kNoise,         ///< not a JSON-RPC message
  };
  Kind kind = Kind::kNoise;
  std::optional<std::uint64_t> id;  ///< of an answer or of progress; none: not a number of ours
  std::string reply;
};

/// Validates and sorts one message. ping is answered with {}, every other question with -32601. `reader` is the
/// caller's; one thread at a time.
[[nodiscard]] Incoming understand(mcp::EnvelopeReader& reader, const std::string& message);

/// The protocol version that a valid answer to initialize agrees to. kUpstream, and a log line that names what stands
/// there, when it is an error or a version that we do not speak.
[[nodiscard]] Result<std::string> agreed_version(std::string_view upstream, std::string_view answer);

/// What UpstreamStatus tells, counted from any thread.
class Tally {
 public:
  Tally(std::string name, std::string_view kind) : name_(std::move(name)), kind_(kind) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Counts a call, and `done`'s outcome once it comes.
  [[nodiscard]] UpstreamDone counted(UpstreamDone done);
  void idle() { state_ = "idle"; }
  void ready() { state_ = "ready"; }
  void failed() { state_ = "failed"; }
  /// Counts a message that was dropped and logs the 1st, 2nd, 4th, 8th… of them: a peer that floods must not flood the
  /// log. `shown` stands in the log line: nothing of a caller's goes there.
  void dropped(std::string_view why, std::string_view shown = {});
  [[nodiscard]] UpstreamStatus status() const;

 private:
  std::string name_;
  std::string_view kind_;
  std::atomic<const char*> state_{"idle"};
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> dropped_{0};
  LatencyHistogram latency_;
};

}  // namespace ringside::worker
