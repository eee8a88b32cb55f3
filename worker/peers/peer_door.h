#pragma once
// Where other workers of this house reach this one: a Unix socket of its own, in a folder that only this user enters.

#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

class PeerDoor {
 public:
  /// Binds `<runtime_dir>/peers/<pid>.sock`; removes what workers left there that are gone. For start-up, before
  /// threads.
  static Result<std::unique_ptr<PeerDoor>> open(const std::string& runtime_dir);
  /// Ends what is under way and removes the socket.
  ~PeerDoor();
  PeerDoor(const PeerDoor&) = delete;
  PeerDoor& operator=(const PeerDoor&) = delete;

  /// What a session's record says of this worker: `MACHINE|PATH`.
  [[nodiscard]] const std::string& address() const { return address_; }
  /// Takes connections from now on. `runtime` outlives the door.
  void serve(Runtime& runtime);
  /// Answers what is under way within that time, and takes nothing new. Blocks.
  void drain(Duration within);

 private:
  struct Server;
  PeerDoor(std::string path, UniqueFd listener);
  void accept();
  void shut();

  const std::string path_;
  const std::string address_;
  UniqueFd listener_;
  UniqueFd wake_;  // an eventfd: the door shuts
  std::unique_ptr<Server> server_;
  std::thread acceptor_;
};

}  // namespace ringside::worker
