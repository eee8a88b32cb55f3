#include "bench/usage.h"

#include <unistd.h>

#include <charconv>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>

#include "shm/layout.h"

namespace ringside::bench {
namespace {

std::string folder_of(pid_t pid) { return "/proc/" + (pid == 0 ? std::string("self") : std::to_string(pid)); }

/// The number behind `key` in a file of lines "key: number"; 0 when there is none.
std::uint64_t number_in(const std::string& path, const std::string& key, int base) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with(key)) continue;
    const std::size_t at = line.find_first_not_of(" \t:", key.size());
    std::uint64_t number = 0;
    if (at != std::string::npos) std::from_chars(line.data() + at, line.data() + line.size(), number, base);
    return number;
  }
  return 0;
}

std::uint64_t doorbells_rung() {
  std::uint64_t rung = 0;
  std::error_code gone;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd", gone)) {
    if (std::filesystem::read_symlink(fd.path(), gone) != "anon_inode:[eventfd]") continue;
    rung += number_in("/proc/self/fdinfo/" + fd.path().filename().string(), "eventfd-count", 16);
  }
  return rung;
}

std::uint64_t sleeps_announced(const shm::Cursor& park) {
  // Odd while asleep; each sleep announces a new odd number.
  return (std::uint64_t{park.value.load(std::memory_order_relaxed)} + 1) / 2;
}

}  // namespace

double cpu_seconds(pid_t pid) {
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  if (pid != 0 && ::clock_getcpuclockid(pid, &clock) != 0) return 0;
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::uint64_t sleeps_of(pid_t pid) {
  std::uint64_t sleeps = 0;
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(folder_of(pid) + "/task", gone)) {
    sleeps += number_in(task.path().string() + "/status", "voluntary_ctxt_switches", 10);
  }
  return sleeps;
}

RingCounts ring_counts() {
  RingCounts counts;
  counts.doorbells = doorbells_rung();
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    // Segments are memfds of this name, mapped whole.
    if (line.find("/memfd:ringside") == std::string::npos) continue;
    std::uintptr_t start = 0;
    std::from_chars(line.data(), line.data() + line.size(), start, 16);
    const auto& header = *reinterpret_cast<const shm::Header*>(start);
    if (header.magic != shm::kMagic) continue;
    if (header.side == shm::Side::kClient) {
      counts.client_sleeps += sleeps_announced(reinterpret_cast<const shm::RequestSegment*>(start)->park);
    } else {
      counts.worker_sleeps += sleeps_announced(reinterpret_cast<const shm::ResponseSegment*>(start)->park);
    }
  }
  return counts;
}

}  // namespace ringside::bench
