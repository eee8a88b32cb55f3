#include "supervisor/self_check.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <sstream>
#include <utility>

#include "base/log.h"

namespace ringside::supervisor {
namespace {

constexpr std::size_t kMostSaid = 16;

Result<pid_t> spawn(std::vector<std::string>& argv, int output) {
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (auto& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  int failed = ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (failed == 0) failed = ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  if (failed == 0) failed = ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  if (failed == 0) failed = ::posix_spawnattr_setsigmask(&attributes, &none);
  if (failed == 0) failed = ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  if (failed == 0) {
    failed = ::posix_spawn(&pid, argv.front().c_str(), &actions, &attributes, arguments.data(), environ);
  }
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) return Error{Code::kSystem, failed, "the program cannot be started"};
  return pid;
}

}  // namespace

Result<std::unique_ptr<SelfCheck>> SelfCheck::start(EventLoop& loop, const Clock& clock, std::vector<std::string> argv,
                                                    std::function<void(std::vector<std::string>)> done) {
  argv.emplace_back("--check-config");
  UniqueFd output(::memfd_create("ringside-check", MFD_CLOEXEC));
  if (!output) return Error{Code::kSystem, errno, "there is no room for what the program says"};
  const pid_t pid = RS_TRY(spawn(argv, output.get()));
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::unique_ptr<SelfCheck> check(new SelfCheck(pid, std::move(pidfd), std::move(output), std::move(done)));
  if (!check->pidfd_) return Error{Code::kSystem, errno, "the program cannot be watched"};
  SelfCheck* raw = check.get();
  check->exit_source_ = RS_TRY(loop.watch(raw->pidfd_.get(), [raw](std::uint32_t /*events*/) { raw->on_exit(); }));
  check->exit_source_.want(EPOLLIN);
  check->limit_ = RS_TRY(loop.timer([raw] {
    raw->late_ = true;
    ::kill(raw->pid_, SIGKILL);
  }));
  check->limit_.arm(clock.now() + kLimit);
  return check;
}

SelfCheck::SelfCheck(pid_t pid, UniqueFd pidfd, UniqueFd output, std::function<void(std::vector<std::string>)> done)
    : pid_(pid), done_(std::move(done)), pidfd_(std::move(pidfd)), output_(std::move(output)) {}

SelfCheck::~SelfCheck() {
  if (reaped_) return;
  ::kill(pid_, SIGKILL);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

void SelfCheck::on_exit() {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
  reaped_ = true;
  exit_source_.reset();
  limit_.reset();
  std::vector<std::string> faults;
  if (info.si_code != CLD_EXITED || info.si_status != 0) faults = said();
  if (late_) faults.emplace_back("the program did not end its check in time");
  const auto done = std::move(done_);
  done(std::move(faults));
}

std::vector<std::string> SelfCheck::said() const {
  std::array<char, 8192> bytes{};
  const ssize_t size = ::pread(output_.get(), bytes.data(), bytes.size(), 0);
  std::istringstream text(std::string(bytes.data(), size > 0 ? static_cast<std::size_t>(size) : 0));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line) && lines.size() < kMostSaid;) {
    if (!line.empty()) lines.push_back(log::printable(line, 1000));
  }
  if (lines.empty()) lines.emplace_back("the program failed its check and said nothing");
  return lines;
}

}  // namespace ringside::supervisor
