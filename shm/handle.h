#pragma once
// A body in a ring's segment, named so that a gRPC message can refer to it. In a request it names a slot of the
// client's segment; in an answer, a run of blocks of the worker's. docs/protocol.md ("Handles") says how each side
// checks one.

#include <cstdint>

namespace ringside::shm {

/// A handle as it travels in gRPC messages. A plain value that proves nothing: whoever receives one checks it.
struct Handle {
  std::uint64_t ring = 0;
  std::uint32_t generation = 0;
  std::uint32_t slot = 0;
  std::uint64_t sequence = 0;
  std::uint32_t first_block = 0;
  std::uint32_t block_count = 0;
  std::uint64_t length = 0;
};

}  // namespace ringside::shm
