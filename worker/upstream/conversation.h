#pragma once
// What every upstream is told and how what it says is understood, whatever carries the messages. The bytes of requests
// and answers are never rewritten here. Thread-safe unless said otherwise.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
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

/// initialize in the words of the persona's client. Of the conversation that all share: with our newest protocol
/// version and whatever a client can be asked for, since some servers list tools only then; who asks there is refused.
[[nodiscard]] std::string initialize_request(std::string_view client_version, const PersonaRef& persona = nullptr);
/// notifications/cancelled for request `id`; `reason` is a literal of ours without anything to escape.
[[nodiscard]] std::string cancelled_notification(std::uint64_t id, std::string_view reason);

/// One message of an upstream.
struct Incoming {
  enum class Kind {
    kAnswer,       ///< a response; `id` says to what
    kQuestion,     ///< a request to us; `raw_id` and `method` say which
    kListChanged,  ///< notifications/…/list_changed; `list` says of what
    kProgress,     ///< notifications/progress; `id` says of what
    kCancelled,    ///< notifications/cancelled: a question is taken back
    kNotice,       ///< any other notification; `method` says which
    kNoise,        ///< not a JSON-RPC message
  };
  Kind kind = Kind::kNoise;
  std::optional<std::uint64_t> id = {};  ///< of an answer or of progress; none: not a number of ours
  std::string method = {};               ///< of a question or a notification
  std::string raw_id = {};               ///< of a question
  UpstreamSink::List list = UpstreamSink::List::kTools;
};

/// Validates and sorts one message. `reader` is the caller's; one thread at a time.
[[nodiscard]] Incoming understand(mcp::EnvelopeReader& reader, const std::string& message);
/// What a question gets that nobody can be asked: {} for a ping, else -32601.
[[nodiscard]] std::string refusal_of(const Incoming& question);

/// What an upstream says to nobody in particular, on its way to whoever is attached; and how it introduced itself.
/// Thread-safe.
class Announcer {
 public:
  /// Before the first send.
  void attach(std::size_t index, std::shared_ptr<UpstreamSink> sink);
  /// The same, for changes of the tools only.
  void on_tools_changed(std::function<void()> changed) { tools_changed_ = std::move(changed); }

  /// A change of a list, a cancellation or any other notification.
  void tell(const PersonaRef& persona, Incoming incoming, std::string message) const;
  [[nodiscard]] bool ask(const PersonaRef& persona, UpstreamQuestion question) const;
  void reopened(const PersonaRef& persona) const;

  void introduce(std::string_view initialize_answer);
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const;

 private:
  std::size_t index_ = 0;
  std::shared_ptr<UpstreamSink> sink_;
  std::function<void()> tools_changed_;
  mutable std::mutex mutex_;
  std::shared_ptr<const std::string> introduction_;
};

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
