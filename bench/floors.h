#pragma once
// What the machine itself can do without bytes: a wake-up across processes, a copy. Each wake-up talks to `bench_peer`,
// a process of its own. A contestant keeps its peer alive.

#include <cstddef>

#include "bench/rounds.h"

namespace ringside::bench {

/// One eventfd write and read each way.
Contestant eventfd_ping_pong();
/// One futex wake and wait each way on a shared page.
Contestant futex_ping_pong();
/// The wake-ups of a ring and nothing else: there an eventfd, found by epoll (edge-triggered, never read); back a
/// futex.
Contestant ring_ping_pong();
/// `bytes` copied four times, as a ring does: in, out, in, out.
Contestant four_copies(std::size_t bytes);

}  // namespace ringside::bench
