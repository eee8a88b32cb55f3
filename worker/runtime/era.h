#pragma once
// The session era of the protocol (2024-11-05 to 2025-11-25): initialize, and what is said to somebody of a later era.
// Nothing else here asks for the era. Pure.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "mcp/envelope.h"
#include "mcp/message.h"
#include "worker/federation/federation.h"

namespace ringside::worker {

/// What initialize asks for.
struct Initialize {
  std::string raw_id;
  std::string protocol_version;  ///< negotiated
  std::string session_id;        ///< of the params; empty: none
  std::string client;            ///< raw JSON: {"capabilities":…,"clientInfo":…}
};

/// Reads the params, or says what is wrong with them.
[[nodiscard]] std::optional<mcp::Response> read_initialize(const mcp::Envelope& envelope,
                                                           const mcp::EnvelopeReader& reader, Initialize& asked);
/// -32602 under 200.
[[nodiscard]] mcp::Response bad_params(std::string_view raw_id, std::string_view message);
/// The answer, without its headers.
[[nodiscard]] mcp::Response initialized(const Initialize& asked, const Introduction& introduction,
                                        std::string_view our_version);

/// What a request gets that speaks the stateless revision (it discovers, or states its version in each request);
/// nothing when it does not. The answer says which versions are spoken here.
[[nodiscard]] std::optional<mcp::Response> refuse_other_era(const mcp::Envelope& envelope,
                                                            const mcp::EnvelopeReader& reader);

}  // namespace ringside::worker
