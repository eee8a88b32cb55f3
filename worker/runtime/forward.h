#pragma once
// tools/list and tools/call: answering from the merged catalog, and passing a call on to the upstream that owns the
// tool, as the bytes that came but for the id and, where it was made unique, the name.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "mcp/envelope.h"
#include "worker/federation/catalog_cache.h"
#include "worker/runtime/call.h"
#include "worker/runtime/ledger.h"
#include "worker/upstream/backends.h"

namespace ringside::worker {

/// Thread-safe. Held by shared_ptr, which calls under way keep.
class Forward : public std::enable_shared_from_this<Forward> {
 public:
  Forward(Duration call_timeout, std::size_t max_body_bytes, const Clock& clock, std::shared_ptr<Backends> backends,
          std::shared_ptr<CatalogCache> catalog, std::shared_ptr<Ledger> ledger);

  /// `envelope` and `reader` are of the call's body, which stays in the call; neither is kept.
  void list_tools(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader);
  void call_tool(const std::shared_ptr<Call>& call, const mcp::Envelope& envelope, const mcp::EnvelopeReader& reader);

 private:
  /// A tools/call with what its body was found to say. The views point into the call's body.
  struct Job {
    std::shared_ptr<Call> call;
    std::string_view raw_id;
    std::string_view raw_name;
    std::string_view raw_token;  ///< params._meta.progressToken; empty: none
    std::string name;
    SteadyTime deadline;
  };

  /// Calls `ready` with a fresh catalog, or answers the call when it is cancelled first.
  void with_catalog(const std::shared_ptr<Call>& call, std::string_view raw_id, CatalogCache::Ready ready);
  void route(const Job& job, const CatalogSnapshot& catalog);
  void send(const Job& job, const mcp::ToolRoute& route);
  /// Those of the call that tell an upstream which call it is; an id of ours where it has none.
  [[nodiscard]] mcp::Headers trace_headers(Call& call) const;
  [[nodiscard]] static mcp::Response response_of(std::string_view raw_id, std::uint64_t id, Result<std::string> answer);

  const Duration call_timeout_;
  const std::size_t max_body_bytes_;
  const Clock& clock_;
  const std::shared_ptr<Backends> backends_;
  const std::shared_ptr<CatalogCache> catalog_;
  const std::shared_ptr<Ledger> ledger_;
};

/// A JSON-RPC result under 200.
[[nodiscard]] mcp::Response result_response(std::string_view raw_id, std::string_view raw_result);

}  // namespace ringside::worker
