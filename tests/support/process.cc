#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

#include "base/check.h"

namespace ringside::test {
namespace {

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
  RS_CHECK(value != nullptr, "ctest sets RINGSIDE_BIN_DIR and RINGSIDE_SOURCE_DIR");
  return value;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

std::string program(const std::string& name) { return from_environment("RINGSIDE_BIN_DIR") + "/" + name; }
std::string source_dir() { return from_environment("RINGSIDE_SOURCE_DIR"); }

TempDir::TempDir() : path_("/tmp/ringside-test-XXXXXX") {
  RS_CHECK(::mkdtemp(path_.data()) != nullptr, "a folder under /tmp can be made");
  std::filesystem::permissions(path_, static_cast<std::filesystem::perms>(0750));
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  RS_CHECK(file.good(), "a test can write its own files");
}

std::string read_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Process::Process(const ProcessOptions& options) {
  auto arguments = options.argv;
  auto argv = pointers(arguments);
  std::vector<std::string> variables;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view inherited(*each);
    const std::string name(inherited.substr(0, inherited.find('=') + 1));
    const bool replaced = std::any_of(options.environment.begin(), options.environment.end(),
                                      [&](const std::string& given) { return given.starts_with(name); });
    if (!replaced) variables.emplace_back(inherited);
  }
  variables.insert(variables.end(), options.environment.begin(), options.environment.end());
  auto envp = pointers(variables);

  UniqueFd input(::memfd_create("input", MFD_CLOEXEC));
  RS_CHECK(
      ::write(input.get(), options.input.data(), options.input.size()) == static_cast<ssize_t>(options.input.size()),
      "a memfd takes the input");
  ::lseek(input.get(), 0, SEEK_SET);

  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND;
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, options.stdout_path.c_str(), kFlags, 0600);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, options.stderr_path.c_str(), kFlags, 0600);
  // High numbers first, so that no copy lands on a descriptor that is still to be copied.
  std::vector<UniqueFd> high;
  for (const int fd : options.descriptors) high.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 200));
  for (std::size_t i = 0; i < high.size(); ++i) {
    ::posix_spawn_file_actions_adddup2(&actions, high[i].get(), static_cast<int>(i) + 3);
  }
  // As a service manager does: what else we have open (gRPC's connections, say) is none of the child's.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, static_cast<int>(high.size()) + 3);
  const int failed = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  RS_CHECK(failed == 0, "the program under test is built");
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      status_(other.status_),
      reaped_(std::exchange(other.reaped_, true)) {}

Process::~Process() {
  if (pid_ < 0 || reaped_) return;
  ::kill(pid_, SIGKILL);
  wait();
}

void Process::signal(int number) const {
  if (!reaped_) ::kill(pid_, number);
}

int Process::wait(std::chrono::milliseconds within) {
  if (!reaped_) {
    pollfd exited{pidfd_.get(), POLLIN, 0};
    if (::poll(&exited, 1, static_cast<int>(within.count())) != 1) return -1;
    int raw = 0;
    ::waitpid(pid_, &raw, 0);
    status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    reaped_ = true;
  }
  return status_;
}

Finished run(std::vector<std::string> argv, std::string input, std::vector<std::string> environment) {
  return run(ProcessOptions{.argv = std::move(argv), .environment = std::move(environment), .input = std::move(input)});
}

Finished run(ProcessOptions options) {
  const TempDir dir;
  options.stdout_path = dir.file("out");
  options.stderr_path = dir.file("err");
  Process process(options);
  const int code = process.wait(std::chrono::seconds(100));
  return {code, read_file(dir.file("out")), read_file(dir.file("err"))};
}

void pause_between_looks() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

}  // namespace ringside::test
