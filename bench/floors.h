#pragma once
// What the machine itself can do, for comparison: a wake-up across processes, bytes through a raw socket, a copy, and a
// plain gRPC echo. Each talks to `bench_peer`, a process of its own.

#include <cstddef>
#include <memory>
#include <string>

#include "bench/rounds.h"

namespace ringside::bench {

/// A floor with its peer process; kept alive while its contestant is used.
struct Floor {
  Contestant contestant;
  std::shared_ptr<void> peer;
  pid_t pid = 0;
};

/// One eventfd write and read each way (no body).
Floor eventfd_ping_pong();
/// One futex wake and wait each way on a shared page (no body).
Floor futex_ping_pong();
/// `bytes` each way through a connected Unix stream socket with large buffers.
Floor raw_socket_echo(std::size_t bytes);
/// `bytes` copied four times, as a ring does: in, out, in, out.
Floor four_copies(std::size_t bytes);
/// `bytes` each way through a plain gRPC server (callback API, reused channel) that shares no code with ours.
Floor plain_grpc_echo(std::size_t bytes);

}  // namespace ringside::bench
