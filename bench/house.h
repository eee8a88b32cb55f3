#pragma once
// A Ringside to measure: one supervisor, one worker (so that every contestant asks the same process), and contestants
// for its doors.

#include <memory>
#include <string>
#include <vector>

#include "bench/rounds.h"
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

enum class Work { kTransportEcho, kRuntime };
const char* to_string(Work work);

class House {
 public:
  /// `spin_us`: how long the worker looks for the next call before it parks; negative: the default.
  explicit House(int spin_us);
  ~House();
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] pid_t worker_pid() const { return worker_; }
  [[nodiscard]] pid_t supervisor_pid() const { return supervisor_->pid(); }

 private:
  test::TempDir folder_;
  std::string dir_;
  std::unique_ptr<test::Process> supervisor_;
  pid_t worker_ = 0;
};

/// Calls of `bytes` through a door: bodies, ids and key order vary from call to call, and every reply is compared with
/// what it must be. The ping of the smallest body, else the builtin echo tool under the name `tool`.
Contestant door_contestant(std::shared_ptr<Client> client, Work work, Mode mode, std::size_t bytes,
                           const std::string& tool = "echo");

/// A client for a contestant; hot ones spin for their answers.
std::shared_ptr<Client> connect(const std::string& runtime_dir, DoorChoice door, Mode mode);

}  // namespace ringside::bench
