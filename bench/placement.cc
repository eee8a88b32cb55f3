#include "bench/placement.h"

#include <sched.h>

#include <filesystem>
#include <thread>
#include <utility>

namespace ringside::bench {
namespace {

void pin(const std::string& process, bool free, unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (unsigned each = 0; each < std::thread::hardware_concurrency(); ++each) {
    if (free || each == cpu) CPU_SET(each, &set);
  }
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + process + "/task", gone)) {
    ::sched_setaffinity(static_cast<pid_t>(std::stol(task.path().filename().string())), sizeof set, &set);
  }
}

}  // namespace

const char* to_string(Placement placement) {
  switch (placement) {
    case Placement::kSameCpu:
      return "same CPU";
    case Placement::kAcrossCpus:
      return "across CPUs";
    case Placement::kFree:
      break;
  }
  return "free";
}

void place(Placement placement, const std::vector<pid_t>& others) {
  const bool free = placement == Placement::kFree;
  pin("self", free, 0);
  const unsigned other_cpu = placement == Placement::kAcrossCpus && std::thread::hardware_concurrency() > 1 ? 1 : 0;
  for (const pid_t pid : others) pin(std::to_string(pid), free, other_cpu);
}

Contestant placed(Contestant contestant, Placement placement) {
  contestant.enter = [placement, peers = contestant.peers] { place(placement, peers); };
  return contestant;
}

}  // namespace ringside::bench
