#include "bench/peer_process.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "base/check.h"
#include "bench/peer.h"
#include "tests/support/process.h"

namespace ringside::bench {

PeerProcess::PeerProcess(const char* mode, int first_fd, int second_fd) {
  std::string path = test::program("bench_peer");
  std::string argument = mode;
  char* argv[] = {path.data(), argument.data(), nullptr};
  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  // Through high numbers first: what is given may itself be descriptor 3 or 4.
  constexpr int kOutOfTheWay = 600;
  if (second_fd >= 0) ::posix_spawn_file_actions_adddup2(&actions, second_fd, kPeerSecondFd + kOutOfTheWay);
  ::posix_spawn_file_actions_adddup2(&actions, first_fd, kPeerFd + kOutOfTheWay);
  ::posix_spawn_file_actions_adddup2(&actions, kPeerFd + kOutOfTheWay, kPeerFd);
  if (second_fd >= 0) ::posix_spawn_file_actions_adddup2(&actions, kPeerSecondFd + kOutOfTheWay, kPeerSecondFd);
  const int failed = ::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  RS_CHECK(failed == 0, "bench_peer is built");
}

PeerProcess::~PeerProcess() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace ringside::bench
