#pragma once
// A stdio upstream over stdio_peer, and looking at processes from outside.

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/process.h"
#include "tests/worker/upstream/asking.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {

inline StdioUpstreamOptions peer_options(std::vector<std::string> args = {}) {
  StdioUpstreamOptions options;
  options.name = "peer";
  options.command = test::program("stdio_peer");
  options.args = std::move(args);
  options.client_version = "1.2.3";
  options.guard_program = test::program("ringside-guard");
  return options;
}

inline std::unique_ptr<Upstream> start_peer(std::vector<std::string> args = {}) {
  return make_stdio_upstream(peer_options(std::move(args)));
}

inline std::vector<pid_t> pids_of(const std::string& raw_array) {
  std::vector<pid_t> pids;
  mcp::for_each_element(raw_array,
                        [&](std::string_view raw) { pids.push_back(static_cast<pid_t>(std::stol(std::string(raw)))); });
  return pids;
}

/// Holds on to a process, so that its end can be waited for and its number cannot fool us.
class Watched {
 public:
  explicit Watched(pid_t pid) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  [[nodiscard]] bool existed() const { return fd_.valid(); }
  [[nodiscard]] bool alive() const { return existed() && !ends_within(0); }
  [[nodiscard]] bool ends_within(int timeout_ms) const {
    pollfd end{fd_.get(), POLLIN, 0};
    return ::poll(&end, 1, timeout_ms) == 1;
  }

 private:
  UniqueFd fd_;
};

inline std::vector<Watched> watch(const std::vector<pid_t>& pids) {
  std::vector<Watched> out;
  for (const pid_t pid : pids) out.emplace_back(pid);
  return out;
}

inline void expect_alive(const std::vector<Watched>& tree) {
  EXPECT_FALSE(tree.empty());
  for (const auto& process : tree) EXPECT_TRUE(process.alive());
}

inline void expect_gone(const std::vector<Watched>& tree) {
  for (const auto& process : tree) EXPECT_TRUE(process.ends_within(10'000));
}

}  // namespace ringside::worker
