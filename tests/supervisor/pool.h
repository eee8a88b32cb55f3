#pragma once
// A real ringsided with fake workers (fake_worker.cc) in a folder of its own, and connections to it.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unix_socket.h"
#include "ringside/control/v1/control.pb.h"
#include "tests/support/process.h"

namespace ringside::test {

/// A connection that a test made.
class Peer {
 public:
  explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {}
  /// Connects as we are. Fails the test when nobody listens.
  static Peer to(const std::string& path, SocketKind kind = SocketKind::kStream);
  /// Connects as another user, who belongs to no group but `gid`. Needs root.
  static Peer to_as(const std::string& path, uid_t uid, gid_t gid);

  /// The connection itself; nothing is left here.
  UniqueFd release() { return std::move(fd_); }
  void say(const std::string& text) const;
  /// The next line without its end; nothing at the end of the connection, or after `within`.
  std::optional<std::string> line(std::chrono::milliseconds within = std::chrono::seconds(20));
  /// Everything until the end of the connection.
  std::string rest();
  /// True when something, or the end, can be read within the time.
  [[nodiscard]] bool readable(std::chrono::milliseconds within) const;

 private:
  UniqueFd fd_;
  std::string input_;
};

/// The number after `key` in a line such as "pid=12 door=1".
int number_in(const std::string& line, const std::string& key);

/// A descriptor as systemd hands it over.
struct HandedOver {
  std::string name;
  int fd = -1;
};

struct PoolOptions {
  int workers = 1;
  std::string config = "{}";
  std::string orders;  ///< RINGSIDE_FAKE_WORKER
  std::vector<std::string> environment;
  std::vector<HandedOver> handed_over = {};  ///< by the protocol of sd_listen_fds(3)
};

class Pool {
 public:
  /// Starts the supervisor, and waits until control.sock answers.
  explicit Pool(const PoolOptions& options);
  /// Stops it if it still runs.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  [[nodiscard]] const TempDir& folder() const { return folder_; }
  [[nodiscard]] std::string dir() const { return folder_.file("run"); }
  [[nodiscard]] std::string socket(const std::string& name) const { return dir() + "/" + name; }
  [[nodiscard]] std::string log() const { return read_file(folder_.file("log")); }
  [[nodiscard]] Process& process() { return *supervisor_; }

  [[nodiscard]] control::v1::StatusResponse status() const;
  [[nodiscard]] control::v1::Worker worker(int index) const { return status().workers(index); }
  /// grpc.health.v1's word for a service.
  [[nodiscard]] std::string health(const std::string& service) const;
  /// Waits until every worker is ready; fails the test when that does not come.
  void wait_ready() const;
  void wait_for_log(const std::string& text) const;
  /// Pids of the workers, by index; 0 for none.
  [[nodiscard]] std::vector<pid_t> pids() const;
  /// SIGTERM, then the exit code.
  int stop();

 private:
  TempDir folder_;
  int workers_;
  std::unique_ptr<Process> supervisor_;
};

/// What this control.sock says; fails the test when nobody answers.
control::v1::StatusResponse status_at(const std::string& control_socket);
/// Connects a socket that exists already.
void connect_to_path(int socket, const std::string& path);

/// `argv`, to be started as systemd starts a service with sockets.
ProcessOptions as_systemd(std::vector<std::string> argv, std::vector<std::string> environment,
                          const std::vector<HandedOver>& handed_over);

/// What ringsided says and returns when it cannot start.
Finished start_badly(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {},
                     const std::vector<HandedOver>& handed_over = {});

}  // namespace ringside::test
