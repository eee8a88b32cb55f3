#pragma once
// What processes used so far: CPU time, sleeps, doorbells. Read from the kernel and from the rings' own words, so that
// nothing has to be counted on the way of a call.

#include <sys/types.h>

#include <cstdint>

namespace ringside::bench {

/// User and system time of a process so far, in seconds; 0: this one.
double cpu_seconds(pid_t pid);

/// How often a thread of that process gave up its CPU to wait (voluntary context switches of the threads that live);
/// 0: this one.
std::uint64_t sleeps_of(pid_t pid);

/// The rings of this process, all together.
struct RingCounts {
  std::uint64_t doorbells = 0;      ///< rung by this process: what their eventfds hold, for workers never read them
  std::uint64_t client_sleeps = 0;  ///< announced in `park`: each is answered by one futex wake at most
  std::uint64_t worker_sleeps = 0;  ///< the same at the other end: each is answered by one doorbell at most
};
RingCounts ring_counts();

}  // namespace ringside::bench
