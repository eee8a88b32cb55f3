#pragma once
// Several upstreams as one server: merged lists under names that people can predict, who is asked for what, and what
// all of them can do together. One upstream that is dead or slow takes away its own entries only.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "mcp/catalog.h"
#include "mcp/envelope.h"
#include "mcp/message.h"
#include "mcp/session.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {

enum class Listing : std::uint8_t { kTools, kPrompts, kResources, kTemplates };

/// Whom a request goes to, and what is changed in it on the way.
struct Pick {
  std::vector<std::size_t> upstreams;  ///< in the order in which they are asked
  bool falls_through = false;          ///< the next one is asked when one answers with an error
  bool everybody = false;              ///< all are asked; the first success is the answer (logging/setLevel)
  bool repeatable = false;             ///< safe to run twice (a read, or a tool whose annotations say so)
  std::string_view raw_span;           ///< of the body: the name to replace; empty: nothing
  std::string replacement;             ///< raw JSON string
};

/// For the answer to initialize.
struct Introduction {
  std::string capabilities;  ///< raw JSON object
  std::string instructions;  ///< raw JSON string; empty: none
};

/// A named subset. Its names are made as if its upstreams were the only ones.
struct ServerView {
  std::string id;
  std::vector<std::string> upstreams;                        ///< by name; empty: all
  std::vector<std::string> tools;                            ///< as they are shown there; empty: all
  std::vector<std::pair<std::string, std::string>> require;  ///< method, permission
};

struct FederationOptions {
  using Names = mcp::NameRule;
  Names names = Names::kCollisions;  ///< of tools and prompts; URIs stay what they are
  std::string separator = "-";
  Duration patience = std::chrono::seconds(1);        ///< of introduce() with upstreams that were never asked
  Duration ttl = std::chrono::seconds(30);            ///< how long a list is served before its upstream is asked again
  Duration retry_after = std::chrono::seconds(1);     ///< the same for a failure
  Duration fetch_timeout = std::chrono::seconds(60);  ///< for all pages of one upstream
  std::size_t page_entries = 0;                       ///< of a merged list; 0: one page
  std::vector<ServerView> servers;                    ///< empty: any server_id sees everything
};

/// Thread-safe.
class Federation {
 public:
  /// `clock` outlives every fetch: closing the backends ends them all, and comes before the end of this.
  Federation(FederationOptions options, const Clock& clock, std::shared_ptr<Backends> backends);
  ~Federation();
  Federation(const Federation&) = delete;
  Federation& operator=(const Federation&) = delete;

  /// A number for the callers below that want to forget() before they are called back; never given twice.
  [[nodiscard]] std::uint64_t next_waiter();

  using Answered = std::function<void(mcp::Response)>;
  /// tools/list, prompts/list, resources/list, resources/templates/list. Answers once, perhaps before this returns. A
  /// number for forget(), which is `waiter` unless that is 0; 0: it has answered.
  std::uint64_t list(Listing listing, std::string_view server_id, const mcp::Envelope& envelope,
                     const mcp::EnvelopeReader& reader, Answered answered, std::uint64_t waiter = 0);
  using Picked = std::function<void(Result<Pick>)>;
  /// Who serves a tools/call, prompts/get, resources/read, subscribe, unsubscribe, completion/complete,
  /// logging/setLevel or tasks/*. kInvalid: the params are wrong (-32602), kNotFound: nobody (-32602; -32002 for a
  /// resource), kUnavailable: nobody could be asked (502). The views in the Pick are of the body that the envelope
  /// views. Calls back once, perhaps before this returns; the number is as list()'s. `session` tells whose tasks.
  std::uint64_t pick(std::string_view server_id, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
                     Picked picked, std::string_view session = {}, std::uint64_t waiter = 0);
  /// True: that callback will not be called. False: it has been or is being called.
  bool forget(std::uint64_t waiter);

  /// Waits for upstreams that were never asked, no longer than the patience. `ready` is called once, on any thread, and
  /// must not hold the last reference to this.
  void introduce(std::string_view server_id, std::function<void(Introduction)> ready);
  [[nodiscard]] bool knows_server(std::string_view server_id) const;
  /// Whether what the upstream says is said to sessions of that server.
  [[nodiscard]] bool sees(std::string_view server_id, std::size_t upstream) const;
  /// Whether the caller has the permission that the server wants for the method.
  [[nodiscard]] bool may(std::string_view server_id, std::string_view method, const mcp::Caller& caller) const;
  /// The upstream has said so: its list is asked for again by whoever needs it next. A session may have read the old
  /// one by another worker, so every change is news.
  void list_changed(std::size_t upstream, UpstreamSink::List list);
  /// Asks this upstream for its tools whatever the age of its list, to see whether it answers. Nobody waits.
  void look_at(std::size_t upstream);
  /// Later tasks/* of this session with that id go there.
  void learn_task(std::string_view session, std::string_view task_id, std::size_t upstream);
  /// Entries that no list shows, since another has their key or a name of their own would be too long; for the status.
  [[nodiscard]] std::vector<std::string> shadowed() const;

 private:
  struct State;
  struct Picking;
  const std::shared_ptr<State> state_;
};

}  // namespace ringside::worker
