#pragma once
// What the commands of ringside_bench have in common.

#include <cstddef>
#include <stdexcept>
#include <string>

namespace ringside::bench {

/// Ends the benchmark with a message. Thrown, not exited with: every process that was started ends on the way out.
class GiveUp : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Options {
  bool check = false;     ///< judge the marks instead of printing the table
  bool small = false;     ///< few calls, no judgement: proves that the benchmark works
  std::string only;       ///< this mark alone
  std::string json_path;  ///< also write the figures here

  [[nodiscard]] std::size_t rounds() const { return small ? 2 : 10; }
  /// How many calls a turn makes of bodies of that size.
  [[nodiscard]] std::size_t calls(std::size_t bytes) const {
    if (small) return 10;
    return bytes >= 1 << 20 ? 60 : bytes >= 65536 ? 150 : 400;
  }
  /// How many calls are timed together where calls a second are the question, and how often a turn does that.
  [[nodiscard]] std::size_t batch() const { return small ? 128 : 2000; }
  [[nodiscard]] std::size_t batches() const { return small ? 1 : 3; }
};

}  // namespace ringside::bench
