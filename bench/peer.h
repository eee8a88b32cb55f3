#pragma once
// What bench_peer and the floors must agree on.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ringside::bench {

/// The descriptors under which a peer finds what it serves: a socket, an eventfd, or the shared page.
inline constexpr int kPeerFd = 3;
inline constexpr int kPeerSecondFd = 4;

/// The page of the futex floors: each side waits for its word to change.
struct FutexPage {
  alignas(64) std::atomic<std::uint32_t> ping;
  alignas(64) std::atomic<std::uint32_t> pong;
};

void futex_wait_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen);
void futex_wake(const std::atomic<std::uint32_t>& word);

/// The whole of it through a stream socket; false: the other side is gone. `spin`: without sleeping.
bool send_all(int socket, const char* bytes, std::size_t count);
bool receive_all(int socket, char* bytes, std::size_t count, bool spin);

}  // namespace ringside::bench
