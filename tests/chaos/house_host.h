#pragma once
// A whole Ringside that is to be hurt: ringsided with its workers on sockets that the test holds (as systemd does, so
// that they outlive it), an MCP server over HTTP ("far"), one as a child of each worker ("near"), and two builtin ones.
// What "far" and "near" were told to do stands in a file. The hand's thread only, but for the const functions.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ringside/control/v1/control.pb.h"
#include "tests/supervisor/pool.h"
#include "tests/support/process.h"

namespace ringside::test::chaos {

/// What the processes of a house take.
struct Footprint {
  std::size_t supervisor_descriptors = 0;
  std::size_t supervisor_maps = 0;
  std::size_t supervisor_kib = 0;
  std::size_t worker_descriptors = 0;  ///< of all workers
  std::size_t worker_maps = 0;
  std::size_t worker_kib = 0;
  std::size_t processes = 0;  ///< below the supervisor
  std::string kinds;          ///< of all their descriptors, for a person
};

class ChaosHouse {
 public:
  static constexpr int kWorkers = 3;

  /// Starts all of it, and waits until it is whole.
  ChaosHouse();
  /// Fails the test unless the supervisor ends with exit code 0, and every process of the house with it.
  ~ChaosHouse();
  ChaosHouse(const ChaosHouse&) = delete;
  ChaosHouse& operator=(const ChaosHouse&) = delete;

  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] std::string log() const { return read_file(folder_.file("log")); }
  [[nodiscard]] pid_t pid() const { return supervisor_->pid(); }
  /// Nothing: nobody answers.
  [[nodiscard]] std::optional<control::v1::StatusResponse> status() const;
  /// Pids of the workers that are ready.
  [[nodiscard]] std::vector<pid_t> worker_pids() const;
  /// As many workers as are wanted are ready, and no other is there.
  [[nodiscard]] bool whole() const;
  /// Nobody is connected to a worker, and no ring is attached.
  [[nodiscard]] bool left_alone() const;
  /// How often each call that "far" and "near" were told to make was made.
  [[nodiscard]] std::map<std::string, int> effects() const;
  /// Pids of the MCP servers that are children of workers.
  [[nodiscard]] std::vector<pid_t> near_pids() const;
  [[nodiscard]] Footprint footprint() const;

  /// SIGKILL; the next one starts after 100 ms, as by RestartSec= of ringside.service.
  void kill_supervisor();
  void kill_far();
  /// Listens again when this returns.
  void start_far();

 private:
  void start_supervisor();

  TempDir folder_;
  std::string dir_;
  std::vector<UniqueFd> sockets_;
  std::vector<HandedOver> handed_over_;
  std::uint16_t far_port_ = 0;
  std::unique_ptr<Process> far_;
  std::unique_ptr<Process> supervisor_;
};

/// Pids of all processes below this one.
std::vector<pid_t> processes_below(pid_t pid);
/// How many descriptors it has open.
std::size_t descriptors_of(pid_t pid);
/// A field of /proc/PID/status, such as VmRSS, in KiB; 0 for a process that is gone.
std::size_t kib_of(pid_t pid, const std::string& field);

}  // namespace ringside::test::chaos
