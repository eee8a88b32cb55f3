#pragma once
// A whole Ringside for a test: a real ringsided with real workers in a folder of its own.

#include <memory>
#include <string>
#include <vector>

#include "client/cpp/client.h"
#include "ringside/control/v1/control.pb.h"
#include "tests/support/process.h"

namespace ringside::test {

struct HouseOptions {
  std::string config = R"({"mcpServers": {"builtin": {"builtin": true}}})";
  int workers = 2;
  std::vector<std::string> environment;
};

class House {
 public:
  /// Starts the supervisor and waits until every worker is ready.
  explicit House(HouseOptions options = {});
  /// Stops it, and fails the test unless it ends with exit code 0 and leaves no socket and no process behind.
  ~House();
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] std::string socket(const std::string& name) const { return dir_ + "/" + name; }
  [[nodiscard]] pid_t pid() const { return supervisor_->pid(); }
  [[nodiscard]] std::string log() const { return read_file(folder_.file("log")); }

  /// What control.sock says now; fails the test when nobody answers.
  [[nodiscard]] control::v1::StatusResponse status() const;
  /// Pids of the workers that are ready, by index.
  [[nodiscard]] std::vector<pid_t> worker_pids() const;
  [[nodiscard]] bool all_ready() const;
  /// SIGKILLs a worker and waits until the supervisor has another ready in its place.
  void kill_worker(pid_t pid) const;
  /// SIGKILLs the supervisor, with which its workers die, and starts another in the same folder.
  void kill_supervisor();

  /// A client by this door; fails the test when it cannot connect.
  [[nodiscard]] std::shared_ptr<Client> client(DoorChoice door) const;
  [[nodiscard]] ClientOptions client_options(DoorChoice door) const;

 private:
  void start();

  TempDir folder_;
  std::string dir_;
  int workers_;
  std::vector<std::string> environment_;
  std::unique_ptr<Process> supervisor_;
};

/// A POST of one JSON-RPC message to /mcp.
Request post(std::string body, std::string session_id = {});
/// initialize plus notifications/initialized; the id of the new session. Fails the test otherwise.
std::string open_session(Client& client);

inline constexpr DoorChoice kDoors[] = {DoorChoice::kGrpc, DoorChoice::kHandle, DoorChoice::kRing, DoorChoice::kHttp};

}  // namespace ringside::test
