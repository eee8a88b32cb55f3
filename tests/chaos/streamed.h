#pragma once
// What a worker under test streams to whom: both sides know it to the last byte, so that each can tell whether what
// came is the beginning of it. How it is cut into pieces is the worker's whim.

#include <cstdint>
#include <string>
#include <vector>

#include "shm/worker_end.h"
#include "tests/chaos/doom.h"

namespace ringside::shm::chaos {

/// Mostly short, now and then more than a client may leave unread, once in a while nothing; the last bytes are the hash
/// of all before them.
std::string streamed_for(const Label& label);

/// The streams that a worker has under way on one ring.
class Writers {
 public:
  /// `end` outlives it.
  explicit Writers(WorkerEnd& end);

  /// Answers a taken call with the head of a stream.
  void begin(const WorkerEnd::Taken& call, const Label& label);
  /// Ends it, as far as it has come, if it is one of these: its caller has given up. True: it was.
  bool end(std::uint32_t slot, std::uint64_t sequence);
  /// Writes some pieces of each stream whose reader is not slow. How many streams have ended.
  int write(std::mt19937_64& random);
  /// Whether write() would do anything.
  [[nodiscard]] bool may_write() const;

 private:
  struct Writer {
    std::uint32_t slot = 0;
    std::uint64_t sequence = 0;
    std::string content;
    std::size_t at = 0;
    bool slow = false;
  };
  void write_some(Writer& writer, std::mt19937_64& random);

  WorkerEnd& end_;
  std::vector<Writer> writers_;
};

}  // namespace ringside::shm::chaos
