#pragma once
// What the runtime forwards to: an MCP server over Streamable HTTP, one that is our stdio child, or the builtin tools.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/latency.h"
#include "base/result.h"
#include "mcp/message.h"

namespace ringside::worker {

struct UpstreamStatus {
  std::string name;
  std::string kind;   ///< http, stdio, builtin
  std::string state;  ///< idle (never asked), ready, failed (not reached when it was last asked)
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
  LatencyHistogram::Counts latency = {};  ///< of answers and failures; none of the builtin one
  double seconds = 0;                     ///< their sum
};

/// For whom a conversation is held: one client's session. Immutable, shared.
struct Persona {
  std::string session;
  std::string capabilities;  ///< raw JSON object, as the client said
  std::string client_info;   ///< raw JSON object
  std::string version;       ///< negotiated with the client
};
using PersonaRef = std::shared_ptr<const Persona>;  ///< null: the conversation that all share

/// A request that the upstream makes of its client, validated, as the bytes that came.
struct UpstreamQuestion {
  std::string message;
  std::string raw_id;  ///< its id, raw
  std::string method;
};

/// Hears what no request of ours carries. Any thread, in order for one conversation; must not block.
class UpstreamSink {
 public:
  enum class List : std::uint8_t { kTools, kPrompts, kResources };
  virtual ~UpstreamSink() = default;
  virtual void list_changed(std::size_t upstream, const PersonaRef& persona, List list) = 0;
  /// Any other notification: message, resources/updated, tasks/status, elicitation/complete, cancelled.
  virtual void notice(std::size_t upstream, const PersonaRef& persona, std::string method, std::string message) = 0;
  /// False: nobody can be asked, and the upstream is told so.
  virtual bool question(std::size_t upstream, const PersonaRef& persona, UpstreamQuestion question) = 0;
  /// The persona has a new upstream session, its first in this worker or one in the place of a lost one: levels and
  /// subscriptions are to be said again. Of the conversation that all share: it was lost.
  virtual void reopened(std::size_t upstream, const PersonaRef& persona) = 0;
};

/// One JSON-RPC request on its way to an upstream.
struct UpstreamRequest {
  std::string message;  ///< the whole JSON-RPC request; its id is the number below, unique in this worker
  std::uint64_t id = 0;
  SteadyTime deadline = SteadyTime::max();
  /// Of the call, for an upstream that carries_headers(): its ids.
  mcp::Headers headers = {};
  /// Gets each notification that belongs to the request and comes before its answer, validated, as the bytes that came;
  /// one at a time, on any thread. Over HTTP those are what the answer's stream holds; over stdio,
  /// notifications/progress whose token is the number `id`. False: the reader is slow, so wait for resume(id) where the
  /// transport can. May be null.
  std::function<bool(std::string message)> on_message;
  /// Whose conversation it belongs to.
  PersonaRef persona = {};
  /// May be sent again where the first may have run.
  bool repeatable = false;
  /// A question on this request's own stream, as on_message. False: nobody can be asked. Null: the sink is asked.
  std::function<bool(UpstreamQuestion)> on_question = {};
};

/// The whole JSON-RPC response with that id, validated as JSON, as the bytes that came. Errors: kUnavailable (not
/// reached, or gone before an answer began), kUpstream (HTML, garbage, died in mid-answer), kTimeout, kCancelled,
/// kTooLarge, kFull (as many conversations or children as allowed).
using UpstreamDone = std::function<void(Result<std::string> response)>;

/// Thread-safe. Opens its session (initialize, notifications/initialized) when the first request comes, and again when
/// it was lost.
class Upstream {
 public:
  virtual ~Upstream() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// Whether UpstreamRequest::headers reach it.
  [[nodiscard]] virtual bool carries_headers() const { return false; }
  /// Calls `done` exactly once, perhaps before this returns, on any thread.
  virtual void send(UpstreamRequest request, UpstreamDone done) = 0;
  /// The caller gave up: tells the upstream (notifications/cancelled) and ends it with kCancelled soon.
  virtual void cancel(std::uint64_t id) = 0;
  /// There is room again for messages of this request.
  virtual void resume(std::uint64_t /*id*/) {}
  /// `changed` is called when the upstream says that its tools have changed. Set before the first send.
  virtual void on_tools_changed(std::function<void()> changed) = 0;
  /// Who hears of everything else, with the index it is to be told. Before the first send.
  virtual void attach(std::size_t /*index*/, std::shared_ptr<UpstreamSink> /*sink*/) {}
  /// An answer to a question, with the question's own id in place.
  virtual void reply(const PersonaRef& /*persona*/, std::string /*message*/) {}
  /// A client's notification.
  virtual void notify(const PersonaRef& /*persona*/, std::string /*message*/) {}
  /// From now on what the upstream says of its own accord in the persona's conversation is heard: over HTTP by a GET
  /// stream, while it stands. Opens no conversation by itself: one in which nothing was asked has nothing to say.
  virtual void listen(const PersonaRef& /*persona*/) {}
  /// The session has ended, and its conversation with it.
  virtual void end(const std::string& /*session*/) {}
  /// The result of initialize in the shared conversation, raw; null before there was one.
  [[nodiscard]] virtual std::shared_ptr<const std::string> introduction() const { return nullptr; }
  [[nodiscard]] virtual UpstreamStatus status() const = 0;
};

}  // namespace ringside::worker
