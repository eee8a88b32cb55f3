#pragma once
// How much of an answer may wait for a reader before whoever makes it is told to.

#include <cstddef>

namespace ringside {

/// Of a streamed answer, unread: whoever sends it had better wait, and whoever receives it leaves the rest where it is.
inline constexpr std::size_t kMuchUnread = 256UL * 1024;

}  // namespace ringside
