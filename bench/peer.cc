#include "bench/peer.h"

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ringside::bench {

void futex_wait_change(const std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  while (word.load(std::memory_order_acquire) == seen) {
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
  }
}

void futex_wake(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

bool send_all(int socket, const char* bytes, std::size_t count) {
  for (std::size_t sent = 0; sent < count;) {
    const ssize_t some = ::send(socket, bytes + sent, count - sent, MSG_NOSIGNAL);
    if (some <= 0) return false;
    sent += static_cast<std::size_t>(some);
  }
  return true;
}

bool receive_all(int socket, char* bytes, std::size_t count, bool spin) {
  for (std::size_t received = 0; received < count;) {
    const ssize_t some = ::recv(socket, bytes + received, count - received, spin ? MSG_DONTWAIT : MSG_WAITALL);
    if (some < 0 && spin && errno == EAGAIN) continue;
    if (some <= 0) return false;
    received += static_cast<std::size_t>(some);
  }
  return true;
}

}  // namespace ringside::bench
