#pragma once
// What the machine itself can do with bytes: an echo by a raw socket and by a plain gRPC server that shares no code
// with ours. Each talks to `bench_peer`, a process of its own, kept alive by its contestant. Bodies vary and every
// reply is compared, as at the doors.

#include <cstddef>

#include "bench/rounds.h"

namespace ringside::bench {

/// `bytes` each way through a connected Unix stream socket with large buffers. `spin`: both sides look for bytes
/// without sleeping.
Contestant raw_socket_echo(std::size_t bytes, bool spin = false);
/// The same with `window` messages under way, `batch` of them timed together.
Contestant raw_socket_window(std::size_t bytes, std::size_t window, std::size_t batch);
/// `bytes` each way through a plain gRPC server (callback API, reused channel).
Contestant plain_grpc_echo(std::size_t bytes);
/// The same with `window` calls under way.
Contestant plain_grpc_window(std::size_t bytes, std::size_t window, std::size_t batch);

}  // namespace ringside::bench
