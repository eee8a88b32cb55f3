#include "bench/placement.h"

#include <sched.h>

#include <array>
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

/// One line, carried to and fro by a thread on each CPU; nanoseconds of a round trip.
double bounce_line() {
  constexpr std::uint32_t kTrips = 4000;
  alignas(64) std::atomic<std::uint32_t> line{0};
  std::array<std::chrono::steady_clock::time_point, 2> ends;
  const auto carry = [&](unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % std::thread::hardware_concurrency(), &set);
    ::sched_setaffinity(0, sizeof set, &set);
    for (std::uint32_t next = cpu; next < 2 * kTrips; next += 2) {
      if (next == 2) ends[0] = std::chrono::steady_clock::now();  // both are there
      // Yields now and then, for machines with one CPU.
      for (int look = 1; line.load(std::memory_order_acquire) != next; ++look) {
        if (look % 10'000 == 0) ::sched_yield();
      }
      line.store(next + 1, std::memory_order_release);
    }
    if (cpu == 1) ends[1] = std::chrono::steady_clock::now();
  };
  std::thread first(carry, 0);
  std::thread second(carry, 1);
  first.join();
  second.join();
  return std::chrono::duration<double, std::nano>(ends[1] - ends[0]).count() / kTrips;
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
  // The least of some: a neighbour on either CPU only adds.
  double least = 0;
  for (int i = 0; i < 8; ++i) {
    const double ns = bounce_line();
    if (least == 0 || ns < least) least = ns;
  }
  return least;
}

Contestant placed(Contestant contestant, Placement placement) {
  contestant.enter = [placement, peers = contestant.peers] { place(placement, peers); };
  return contestant;
}

}  // namespace ringside::bench
