#include "bench/placement.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
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

double line_round_trip_ns() {
  constexpr std::uint32_t kTrips = 20'000;
  alignas(64) std::atomic<std::uint32_t> line{0};
  const auto bounce = [&line](unsigned cpu, std::uint32_t mine) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % std::thread::hardware_concurrency(), &set);
    ::sched_setaffinity(0, sizeof set, &set);
    for (std::uint32_t next = mine; next < 2 * kTrips; next += 2) {
      // Yields now and then, for machines with one CPU.
      for (int look = 1; line.load(std::memory_order_acquire) != next; ++look) {
        if (look % 10'000 == 0) ::sched_yield();
      }
      line.store(next + 1, std::memory_order_release);
    }
  };
  const auto start = std::chrono::steady_clock::now();
  std::thread first(bounce, 0, 0);
  std::thread second(bounce, 1, 1);
  first.join();
  second.join();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kTrips;
}

Contestant placed(Contestant contestant, Placement placement) {
  contestant.enter = [placement, peers = contestant.peers] { place(placement, peers); };
  return contestant;
}

}  // namespace ringside::bench
