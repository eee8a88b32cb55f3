#pragma once
// Programs under test: started with posix_spawn, waited for by pidfd, their output in files.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace ringside::test {

/// build/<preset>/bin/NAME, by RINGSIDE_BIN_DIR.
std::string program(const std::string& name);
/// The repository's folder, by RINGSIDE_SOURCE_DIR.
std::string source_dir();

/// A fresh folder of mode 0750 under /tmp, removed with everything in it at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_file(const std::string& path, const std::string& text);
std::string read_file(const std::string& path);

struct ProcessOptions {
  std::vector<std::string> argv;         ///< argv[0] is looked up on PATH when it has no slash
  std::vector<std::string> environment;  ///< NAME=VALUE, added to ours; theirs count
  std::string input;                     ///< standard input; it ends after that
  std::string stdout_path = "/dev/null";
  std::string stderr_path = "/dev/null";
  std::vector<int> descriptors = {};  ///< copies of these become the child's 3, 4, …
};

/// A child. Killed and reaped when it goes away.
class Process {
 public:
  explicit Process(const ProcessOptions& options);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  /// The exit code, 128 + the signal, or -1 when it still runs after `within`.
  int wait(std::chrono::milliseconds within = std::chrono::seconds(30));

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  int status_ = -1;
  bool reaped_ = false;
};

struct Finished {
  int exit_code = -1;
  std::string out;
  std::string err;
};
/// Runs a program to its end.
Finished run(std::vector<std::string> argv, std::string input = {}, std::vector<std::string> environment = {});
/// The same; what `options` says of output is not used.
Finished run(ProcessOptions options);

/// True once `condition` is; looks again every few milliseconds, for what gives no event of its own.
template <typename F>
bool eventually(F&& condition, std::chrono::milliseconds within = std::chrono::seconds(20));

void pause_between_looks();

template <typename F>
bool eventually(F&& condition, std::chrono::milliseconds within) {
  const auto end = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    pause_between_looks();
  }
  return true;
}

}  // namespace ringside::test
