#pragma once
// What bench_peer and floors.cc must agree on.

#include <atomic>
#include <cstdint>

namespace ringside::bench {

/// The descriptor under which a peer finds what it serves: a socket, an eventfd, or the shared page.
inline constexpr int kPeerFd = 3;
inline constexpr int kPeerSecondFd = 4;

/// The page of the futex floor: each side waits for its word to change.
struct FutexPage {
  alignas(64) std::atomic<std::uint32_t> ping;
  alignas(64) std::atomic<std::uint32_t> pong;
};

void futex_wait_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen);
void futex_wake(const std::atomic<std::uint32_t>& word);

}  // namespace ringside::bench
