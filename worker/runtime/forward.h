#pragma once
// Lists out of the federation, and everything else on to the upstream that serves it: as the bytes that came but for
// the id, the progress token and, where it was made unique, the name.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "mcp/envelope.h"
#include "worker/federation/federation.h"
#include "worker/runtime/call.h"
#include "worker/runtime/ledger.h"
#include "worker/runtime/notices.h"
#include "worker/runtime/residents.h"
#include "worker/runtime/sessions.h"
#include "worker/runtime/stream_book.h"
#include "worker/runtime/under_way.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {

/// What a Forward works with.
struct ForwardParts {
  std::shared_ptr<Backends> backends;
  std::shared_ptr<Federation> federation;
  std::shared_ptr<Ledger> ledger;
  std::shared_ptr<StreamBook> streams;
  std::shared_ptr<Notices> notices;
  std::shared_ptr<Residents> residents;
  std::shared_ptr<UnderWay> under_way;
  /// Keeps what is said again to an upstream that has lost the session.
  std::function<void(const std::string& session, const std::string& state)> keep_state;
};

/// Thread-safe. Held by shared_ptr, which calls under way keep.
class Forward : public std::enable_shared_from_this<Forward> {
 public:
  Forward(Duration call_timeout, std::size_t max_body_bytes, const Clock& clock, ForwardParts parts);

  /// Which list that is; nothing: none.
  [[nodiscard]] static std::optional<Listing> listing_of(std::string_view method);
  /// Whether upstreams are asked that.
  [[nodiscard]] static bool forwards(std::string_view method);

  /// `envelope` and `reader` are of the call's body, which stays in the call; neither is kept.
  void list(const std::shared_ptr<Call>& call, Listing listing, const mcp::Envelope& envelope,
            const mcp::EnvelopeReader& reader);
  /// `session` is null without one; else it lives here.
  void send(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader,
            const Sessions::Record& session);
  /// For whom the session's conversations are held.
  [[nodiscard]] PersonaRef persona_of(const mcp::SessionRecord& session);

 private:
  struct Job;
  struct Everybody;
  using JobRef = std::shared_ptr<Job>;

  void start(const JobRef& job, Result<Pick> pick);
  [[nodiscard]] mcp::Response refuse_pick(const Job& job, Code code) const;
  void send_next(const JobRef& job);
  void send_all(const JobRef& job);
  /// The request as that upstream gets it. The last one takes the body away.
  [[nodiscard]] UpstreamRequest request_of(const JobRef& job, std::size_t upstream, bool last);
  void answered(const JobRef& job, std::size_t upstream, std::uint64_t id, Result<std::string> answer);
  void deliver(const JobRef& job, mcp::Response response);
  /// What a success means for what is said again, and for who is asked about a task.
  void note(const Job& job, std::size_t upstream, const std::string& answer);
  /// Those of the call that tell an upstream which call it is; an id of ours where it has none.
  [[nodiscard]] mcp::Headers trace_headers(Call& call) const;

  const Duration call_timeout_;
  const std::size_t max_body_bytes_;
  const Clock& clock_;
  const ForwardParts parts_;
};

/// A JSON-RPC result under 200.
[[nodiscard]] mcp::Response result_response(std::string_view raw_id, std::string_view raw_result);

}  // namespace ringside::worker
