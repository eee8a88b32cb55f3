#include "worker/upstream/guarded_child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace ringside::worker {
namespace {

constexpr int kGuardLifelineFd = 3;
// The spawner moves descriptors to 0…3: what it moves stands above, so that no move overwrites a source.
constexpr int kFirstSafeFd = kGuardLifelineFd + 1;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Error system_error(const char* what, int os_error) {
  log::error("stdio upstream not started step={} error=\"{}\"", what, std::strerror(os_error));
  return {Code::kSystem, os_error, "the upstream could not be started"};
}

Result<UniqueFd> lifted(UniqueFd fd) {
  if (fd.get() >= kFirstSafeFd) return fd;
  UniqueFd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstSafeFd));
  if (!high) return system_error("dup", errno);
  return high;
}

Result<Pipe> make_pipe() {
  int fds[2] = {-1, -1};
  if (::pipe2(fds, O_CLOEXEC) != 0) return system_error("pipe", errno);
  UniqueFd read(fds[0]);
  UniqueFd write(fds[1]);
  auto high_read = RS_TRY(lifted(std::move(read)));
  auto high_write = RS_TRY(lifted(std::move(write)));
  return Pipe{std::move(high_read), std::move(high_write)};
}

Status make_non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return system_error("fcntl", errno);
  return {};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> guard_arguments(const StdioUpstreamOptions& options) {
  std::vector<std::string> arguments{options.guard_program, "--name", options.name, "--lifeline",
                                     std::to_string(kGuardLifelineFd)};
  if (!options.cwd.empty()) arguments.insert(arguments.end(), {"--cwd", options.cwd});
  arguments.insert(arguments.end(), {"--", options.command});
  arguments.insert(arguments.end(), options.args.begin(), options.args.end());
  return arguments;
}

// The settings of one posix_spawn. They cannot fail but for memory, which ends a process of ours anyway.
class SpawnSettings {
 public:
  SpawnSettings() {
    RS_CHECK(::posix_spawn_file_actions_init(&actions_) == 0, "file actions need memory only");
    RS_CHECK(::posix_spawnattr_init(&attributes_) == 0, "attributes need memory only");
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  void give(int fd, int as) {
    RS_CHECK(::posix_spawn_file_actions_adddup2(&actions_, fd, as) == 0, "a file action needs memory only");
  }
  void close_from(int fd) {
    RS_CHECK(::posix_spawn_file_actions_addclosefrom_np(&actions_, fd) == 0, "a file action needs memory only");
  }
  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

}  // namespace

std::vector<std::string> child_environment(const StdioUpstreamOptions& options) {
  std::vector<std::string> out;
  for (const char* name : {"HOME", "PATH", "LANG", "TZ", "USER"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && !options.env.contains(name)) out.push_back(std::string(name) + "=" + value);
  }
  for (const auto& [name, value] : options.env) out.emplace_back(name).append("=").append(value);
  return out;
}

Result<GuardedChild> start_guarded(const StdioUpstreamOptions& options) {
  auto input = RS_TRY(make_pipe());
  auto output = RS_TRY(make_pipe());
  auto errors = RS_TRY(make_pipe());
  auto lifeline = RS_TRY(make_pipe());
  for (const int ours : {input.write.get(), output.read.get(), errors.read.get()}) {
    RS_TRY_STATUS(make_non_blocking(ours));
  }
  SpawnSettings settings;
  settings.give(input.read.get(), STDIN_FILENO);
  settings.give(output.write.get(), STDOUT_FILENO);
  settings.give(errors.write.get(), STDERR_FILENO);
  settings.give(lifeline.read.get(), kGuardLifelineFd);
  settings.close_from(kGuardLifelineFd + 1);

  auto arguments = guard_arguments(options);
  auto environment = child_environment(options);
  pid_t guard = 0;
  const int fault = ::posix_spawn(&guard, options.guard_program.c_str(), settings.actions(), settings.attributes(),
                                  pointers(arguments).data(), pointers(environment).data());
  if (fault != 0) return system_error("spawn", fault);
  // Nobody else reaps this process, so its number cannot have gone to another yet.
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, guard, 0)));
  if (!process) return system_error("pidfd_open", errno);  // the lifeline closes, and the guard ends by itself
  return GuardedChild{std::move(input.write),    std::move(output.read), std::move(errors.read),
                      std::move(lifeline.write), std::move(process),     guard};
}

}  // namespace ringside::worker
