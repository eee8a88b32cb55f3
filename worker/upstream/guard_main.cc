// ringside-guard: runs one command and sees to it that nothing of it outlives whoever holds the lifeline.
//
//   ringside-guard --name NAME --lifeline FD [--cwd FOLDER] -- COMMAND [ARGUMENT…]
//
// The lifeline is a pipe whose writing end only the owner holds. When it closes (the owner let go, or died by any
// cause) or a SIGTERM comes, the tree gets SIGTERM, 500 ms later SIGKILL; when the command itself ends, what it left
// behind gets SIGKILL at once. The guard is the subreaper of the tree, so daemons and processes in sessions of their
// own end too. It exits when nobody is left, as the command did (128 + the signal that ended it); 127 when it could not
// be run, 2 for wrong usage. No thread, no library but libc: it waits for every child there is, which nothing else may
// do.

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "worker/upstream/process_tree.h"

namespace {

using ringside::SteadyTime;
using ringside::worker::descendants_of;
using std::chrono::milliseconds;

constexpr auto kGrace = milliseconds(500);
constexpr auto kKillAgain = milliseconds(20);
constexpr int kUsage = 2;
constexpr int kNotRun = 127;

struct Settings {
  const char* name = "";
  const char* folder = nullptr;
  int lifeline = -1;
  char** command = nullptr;  // ends with a null pointer, as argv does
};

std::optional<Settings> read_arguments(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const std::string_view value = argv[i + 1];
    if (flag == "--") {
      settings.command = argv + i + 1;
      break;
    }
    if (flag == "--name") {
      settings.name = argv[i + 1];
    } else if (flag == "--cwd") {
      settings.folder = argv[i + 1];
    } else if (flag == "--lifeline") {
      const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), settings.lifeline);
      if (fault != std::errc() || end != value.data() + value.size()) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  if (settings.command == nullptr || settings.lifeline <= STDERR_FILENO) return std::nullopt;
  return settings;
}

[[noreturn]] void run_command(const Settings& settings, const sigset_t& mask) {
  // Should the guard itself be killed, at least the command goes with it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  const char* step = "enter its folder";
  if (settings.folder == nullptr || ::chdir(settings.folder) == 0) {
    step = "run it";
    ::execvp(settings.command[0], settings.command);
  }
  ::dprintf(STDERR_FILENO, "ringside-guard: %s: cannot %s: %s: %s\n", settings.name, step, settings.command[0],
            std::strerror(errno));
  ::_exit(kNotRun);
}

// The pipes belong to the command alone: their ends close when it, and not when the guard, is gone.
void let_go_of_pipes() {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (null < 0 || ::dup2(null, fd) < 0) ::close(fd);
  }
  if (null > STDERR_FILENO) ::close(null);
}

class Guard {
 public:
  Guard(int lifeline, int signals, pid_t command) : lifeline_(lifeline), signals_(signals), command_(command) {}

  int watch() {
    while (!command_ended_ && !told_to_end_) wait(std::nullopt, true);
    if (!command_ended_) {
      signal_all(SIGTERM);
      const auto end = now() + kGrace;
      while (!nobody_left_ && now() < end) wait(end, false);
    }
    while (!nobody_left_) {
      signal_all(SIGKILL);
      wait(now() + kKillAgain, false);
    }
    return exit_status_;
  }

 private:
  static SteadyTime now() { return std::chrono::steady_clock::now(); }

  static void signal_all(int signal) {
    for (const pid_t process : descendants_of(::getpid())) ::kill(process, signal);
  }

  // Sleeps until a signal, the lifeline's end or `until`; then reaps.
  void wait(std::optional<SteadyTime> until, bool with_lifeline) {
    int timeout_ms = -1;
    if (until)
      timeout_ms = static_cast<int>(std::max<std::int64_t>(0, std::chrono::ceil<milliseconds>(*until - now()).count()));
    pollfd fds[] = {{signals_, POLLIN, 0}, {lifeline_, 0, 0}};
    ::poll(fds, with_lifeline ? 2 : 1, timeout_ms);
    if (fds[1].revents != 0) told_to_end_ = true;
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo != SIGCHLD) told_to_end_ = true;
    }
    reap();
  }

  void reap() {
    int status = 0;
    pid_t process = 0;
    while ((process = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (process != command_) continue;
      command_ended_ = true;
      exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    nobody_left_ = process < 0 && errno == ECHILD;
  }

  int lifeline_;
  int signals_;
  pid_t command_;
  int exit_status_ = 0;
  bool command_ended_ = false;
  bool told_to_end_ = false;
  bool nobody_left_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  const auto settings = read_arguments(argc, argv);
  if (!settings) {
    ::dprintf(STDERR_FILENO,
              "usage: ringside-guard --name NAME --lifeline FD [--cwd FOLDER] -- COMMAND [ARGUMENT...]\n");
    return kUsage;
  }
  ::setsid();  // fails for a group's leader only, which has what it wants already
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::fcntl(settings->lifeline, F_SETFD, FD_CLOEXEC);

  sigset_t handled;
  sigset_t before;
  sigemptyset(&handled);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT}) sigaddset(&handled, signal);
  ::sigprocmask(SIG_BLOCK, &handled, &before);
  const int signals = ::signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
  const pid_t command = signals < 0 ? -1 : ::fork();
  if (command == 0) run_command(*settings, before);
  if (command < 0) {
    ::dprintf(STDERR_FILENO, "ringside-guard: %s: cannot start: %s\n", settings->name, std::strerror(errno));
    return kNotRun;
  }
  let_go_of_pipes();
  return Guard(settings->lifeline, signals, command).watch();
}
