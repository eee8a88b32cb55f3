#pragma once
// What two workers say to each other: HTTP/1.1 over the peer socket of the one that a session lives in, as on http.sock
// (docs/protocol.md), and these headers. Peers are processes of this user alone.

#include <string_view>

namespace ringside::worker {

/// Names the call, for a cancellation; makes it one that has been admitted and is not sent on.
inline constexpr std::string_view kRelayedHeader = "x-ringside-relayed";
/// "1": the caller's door takes the answer piece by piece.
inline constexpr std::string_view kStreamHeader = "x-ringside-stream";
/// What is left of the caller's time; absent: no end.
inline constexpr std::string_view kLeftHeader = "x-ringside-left-ms";
/// POST here, with the call's name: its caller gave up.
inline constexpr std::string_view kCancelPath = "/_ringside/cancel";
inline constexpr int kMisdirectedStatus = 421;

}  // namespace ringside::worker
