#include "client/cli/debug_bundle.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <ostream>
#include <sstream>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"
#include "client/cli/complaint.h"
#include "client/cli/events.h"
#include "client/cli/health.h"
#include "client/cli/redact.h"
#include "client/cli/status.h"
#include "http/client.h"

namespace ringside::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostPageBytes = 16ULL << 20U;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

std::string now_in_a_name() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return text.data();
}

/// A folder that only we can read, removed with all that is in it.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "ringside-debug-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }
  void add(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  fs::path path_;
};

std::string kernel_facts() {
  utsname names{};
  ::uname(&names);
  std::string text =
      std::string(names.sysname) + " " + names.release + " " + names.version + " " + names.machine + "\n";
  for (const char* file : {"/etc/os-release", "/proc/loadavg", "/proc/meminfo", "/proc/self/cgroup",
                           "/proc/self/limits", "/proc/pressure/memory", "/proc/pressure/cpu", "/proc/sys/fs/file-nr",
                           "/proc/sys/kernel/core_pattern", "/proc/sys/net/core/somaxconn"}) {
    text += std::string("\n== ") + file + "\n" + read_file(file);
  }
  return text;
}

std::string metrics(const DebugBundleCommand& command) {
  http::Client client({});
  http::ClientRequest request;
  request.method = "GET";
  request.url = "http://ringside/metrics";
  request.unix_socket = command.runtime_dir + "/metrics.sock";
  request.deadline = std::chrono::steady_clock::now() + seconds(command.timeout_s);
  std::promise<std::string> page;
  client.fetch(std::move(request), kMostPageBytes, [&page](Result<mcp::Response> answer) {
    page.set_value(answer.ok() && answer->status == 200 ? std::move(answer->body) : std::string());
  });
  return page.get_future().get();
}

/// True when tar has written `file` of all that is in `folder`.
bool tar(const fs::path& folder, const std::string& file) {
  std::array<std::string, 7> words = {"tar", "--owner=0", "--group=0", "-czf", file, "-C", folder.string()};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  std::string all = ".";
  argv.push_back(all.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (::posix_spawnp(&pid, "tar", nullptr, nullptr, argv.data(), environ) != 0) return false;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void gather(const DebugBundleCommand& command, const Folder& folder, std::ostream& err) {
  std::string missing;
  const auto add = [&](const std::string& name, const std::string& text, const std::string& why) {
    if (!text.empty()) return folder.add(name, text);
    missing += name + ": " + why + "\n";
  };
  add("versions.txt", "ringside " RINGSIDE_VERSION "\n", "");
  add("kernel.txt", kernel_facts(), "nothing can be read");
  for (const bool json : {false, true}) {
    std::ostringstream status;
    std::ostringstream complaint;
    run_status({command.runtime_dir, json, command.timeout_s}, status, complaint);
    add(json ? "status.json" : "status.txt", status.str(), complaint.str());
  }
  for (const bool json : {false, true}) {
    std::ostringstream events;
    std::ostringstream complaint;
    run_events({.runtime_dir = command.runtime_dir, .json = json}, events, complaint);
    add(json ? "events.jsonl" : "events.txt", events.str(), complaint.str());
  }
  std::ostringstream health;
  for (const char* socket : {"control", "runtime"}) {
    HealthCommand ask;
    ask.runtime_dir = command.runtime_dir;
    ask.socket = socket;
    ask.timeout_s = command.timeout_s;
    health << socket << ": ";
    run_health(ask, health, health);
  }
  add("health.txt", health.str(), "");
  add("metrics.txt", metrics(command), "nobody answers at metrics.sock");
  const std::string configuration = read_file(command.config);
  if (configuration.empty()) {
    missing += "configuration.json: " + command.config + " cannot be read; name it with --config\n";
  } else {
    add("configuration.json", redacted_configuration(configuration).value_or(""),
        "it is no JSON, so that nobody can tell its secrets from the rest");
  }
  if (missing.empty()) return;
  folder.add("missing.txt", missing);
  err << missing;
}

}  // namespace

ExitCode run_debug_bundle(const DebugBundleCommand& command, std::ostream& out, std::ostream& err) {
  const Folder folder;
  const std::string file = command.output.empty() ? "ringside-debug-" + now_in_a_name() + ".tar.gz" : command.output;
  // Made first, with a mode that keeps others from reading it.
  const UniqueFd made(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (folder.path().empty() || !made) {
    err << "ringside: " << file << " cannot be written: " << std::generic_category().message(errno)
        << "; name another with --output\n";
    return kAnsweredWithError;
  }
  gather(command, folder, err);
  if (!tar(folder.path(), file)) {
    err << "ringside: tar could not write " << file << '\n';
    return kAnsweredWithError;
  }
  out << file << '\n';
  return kFine;
}

}  // namespace ringside::cli
