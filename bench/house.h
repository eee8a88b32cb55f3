#pragma once
// A Ringside to measure: one supervisor, and, unless more are asked for, one worker, so that every contestant asks
// the same process.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "client/cpp/client.h"
#include "tests/support/process.h"

namespace ringside::bench {

/// How both sides behave between calls.
enum class Mode {
  kDefault,  ///< back to back with the settings a user gets
  kHot,      ///< both sides spinning
  kParked,   ///< both sides asleep before each call
};
const char* to_string(Mode mode);

struct HouseOptions {
  int spin_us = -1;  ///< how long the worker looks for the next call before it parks; -1: the default
  int workers = 1;
  int rings = 64;                 ///< how many a worker takes
  std::uint64_t segment_mib = 4;  ///< of each ring's segment that the worker writes
};

class House {
 public:
  explicit House(const HouseOptions& options);
  ~House();
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  /// Waits until every worker is ready, by the log.
  void wait_ready() const;
  [[nodiscard]] std::string log() const;
  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] pid_t supervisor_pid() const { return supervisor_->pid(); }
  [[nodiscard]] pid_t worker_pid() const { return worker_; }
  /// A client of a door; hot ones spin for their answers. GiveUp when the door is closed.
  [[nodiscard]] std::shared_ptr<Client> connect(DoorChoice door, Mode mode = Mode::kDefault) const;

 private:
  test::TempDir folder_;
  std::string dir_;
  int workers_;
  std::unique_ptr<test::Process> supervisor_;
  pid_t worker_ = 0;
};

/// The houses of one run, each started when it is first needed.
class Houses {
 public:
  /// Default and hot: as named. Parked: one that never spins.
  House& of(Mode mode);

 private:
  std::map<Mode, std::unique_ptr<House>> houses_;
};

/// A client of a Ringside that runs already. GiveUp when the door is closed.
std::shared_ptr<Client> connect(ClientOptions options);

}  // namespace ringside::bench
