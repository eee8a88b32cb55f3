#include "shm/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

namespace ringside::shm {

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, SteadyTime deadline) {
  timespec until{};
  timespec* timeout = nullptr;
  if (deadline != SteadyTime::max()) {
    const auto since = std::max(deadline.time_since_epoch(), Duration::zero());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
    until.tv_sec = seconds.count();
    until.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count();
    timeout = &until;
  }
  // The BITSET form takes an absolute time of CLOCK_MONOTONIC, so that an interrupted sleep does not start anew.
  (void)::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, timeout, nullptr, FUTEX_BITSET_MATCH_ANY);
}

bool futex_wake(const std::atomic<std::uint32_t>& word) {
  return ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0) > 0;
}

}  // namespace ringside::shm
