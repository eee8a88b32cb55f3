#pragma once
// Sleeping on a word in shared memory. The word may lie in a read-only mapping: the kernel only looks at it, for waking
// as for waiting. Not PRIVATE, so both sides may be different processes. Any thread.

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace ringside::shm {

/// Sleeps while `word` is `expected`, until futex_wake, `deadline`, or now and then for no reason: look again
/// afterwards.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, SteadyTime deadline);

/// Wakes whoever sleeps on `word`, in any process. True when somebody did.
bool futex_wake(const std::atomic<std::uint32_t>& word);

/// Tells the processor that this is a spinning loop.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace ringside::shm
