#include "tests/support/memory_group.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/support/process.h"

namespace ringside::test {
namespace {

bool say(const std::string& path, const std::string& word) {
  std::ofstream file(path);
  file << word << std::flush;
  return file.good();
}

/// Where the memory controller is mounted, and whether as a part of version 2.
std::vector<std::pair<std::string, bool>> memory_mounts() {
  std::vector<std::pair<std::string, bool>> found;
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device;
    std::string place;
    std::string kind;
    std::string options;
    words >> device >> place >> kind >> options;
    const bool first = kind == "cgroup" && (options + ",").find(",memory,") != std::string::npos;
    const bool second =
        kind == "cgroup2" && read_file(place + "/cgroup.controllers").find("memory") != std::string::npos;
    if (first || second) found.emplace_back(place, second);
  }
  return found;
}

/// The number behind a word in a file of such lines.
std::uint64_t number_in(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  std::uint64_t number = 0;
  while (file >> word >> number) {
    if (word == name) return number;
  }
  return 0;
}

}  // namespace

std::optional<MemoryGroup> MemoryGroup::make(std::uint64_t bytes) {
  for (const auto& [place, unified] : memory_mounts()) {
    static int made = 0;
    const std::string folder = place + "/ringside-test-" + std::to_string(::getpid()) + "-" + std::to_string(made++);
    // Where that is refused, the controller may be open to children already.
    if (unified) (void)say(place + "/cgroup.subtree_control", "+memory");
    std::error_code error;
    if (!std::filesystem::create_directory(folder, error)) continue;
    MemoryGroup group(folder, unified);
    if (unified && say(folder + "/memory.max", std::to_string(bytes))) {
      (void)say(folder + "/memory.swap.max", "0");
      return group;
    }
    if (!unified && say(folder + "/memory.limit_in_bytes", std::to_string(bytes))) {
      (void)say(folder + "/memory.swappiness", "0");
      return group;
    }
  }
  return std::nullopt;
}

MemoryGroup::~MemoryGroup() {
  if (folder_.empty()) return;
  // A process that has been reaped may still be counted for a moment.
  (void)eventually([this] {
    std::error_code error;
    std::filesystem::remove(folder_, error);
    return !error;
  });
}

bool MemoryGroup::take(pid_t pid) const { return say(members(), std::to_string(pid)); }

std::uint64_t MemoryGroup::failures() const {
  if (unified_) return number_in(folder_ + "/memory.events", "max");
  std::uint64_t count = 0;
  std::ifstream(folder_ + "/memory.failcnt") >> count;
  return count;
}

std::uint64_t MemoryGroup::kills() const {
  return number_in(folder_ + (unified_ ? "/memory.events" : "/memory.oom_control"), "oom_kill");
}

}  // namespace ringside::test
