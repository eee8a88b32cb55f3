#include "bench/doors.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bench/duels.h"
#include "bench/echo_floors.h"
#include "bench/floors.h"
#include "bench/marks.h"

namespace ringside::bench {
namespace {

constexpr std::array<std::size_t, 4> kSizes = {64, 4096, 65536, 1 << 20};
constexpr std::array kDoors = {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp};

std::string size_name(std::size_t bytes) {
  if (bytes >= 1 << 20) return std::to_string(bytes >> 20U) + " MiB";
  if (bytes >= 1 << 10) return std::to_string(bytes >> 10U) + " KiB";
  return std::to_string(bytes) + " B";
}

void row(const Options& options, const Contestant& contestant, const char* work, std::size_t bytes,
         nlohmann::json& results) {
  for (const Placement placement : {Placement::kSameCpu, Placement::kAcrossCpus}) {
    const Contestant there = placed(contestant, placement);
    const std::size_t calls = options.calls(bytes);
    take_turn(there, calls / 2);
    const Turn turn = take_turn(there, calls);
    const double p50_us = median_of(turn.ns) / 1000;
    std::printf("%-18s %-15s %-12s %-8s %10.1f %12.1f\n", contestant.name.c_str(), work, to_string(placement),
                size_name(bytes).c_str(), p50_us, turn.cpu_us);
    std::fflush(stdout);
    results["table"].push_back({{"door", contestant.name},
                                {"work", work},
                                {"placement", to_string(placement)},
                                {"bytes", bytes},
                                {"p50_us", p50_us},
                                {"cpu_us", turn.cpu_us}});
  }
  place(Placement::kFree, contestant.peers);
}

std::vector<Contestant> floors(std::size_t bytes) {
  std::vector<Contestant> all;
  if (bytes == kSizes.front()) all = {futex_ping_pong(), eventfd_ping_pong(), ring_ping_pong()};
  all.push_back(raw_socket_echo(bytes));
  all.push_back(four_copies(bytes));
  all.push_back(plain_grpc_echo(bytes));
  return all;
}

/// One call at a time, back to back, with the settings a user gets.
void table(const House& house, const Options& options, nlohmann::json& results) {
  std::printf("\n%-18s %-15s %-12s %-8s %10s %12s\n", "door", "work", "placement", "body", "p50 us", "CPU us a call");
  for (const std::size_t bytes : kSizes) {
    for (const Contestant& floor : floors(bytes)) row(options, floor, "floor", bytes, results);
    for (const Work work : {Work::kTransportEcho, Work::kRuntime}) {
      for (const DoorChoice door : kDoors) {
        const Load load{house.connect(door), work, bytes, house.worker_pid()};
        row(options, door_contestant(load), to_string(work), bytes, results);
      }
    }
  }
}

}  // namespace

int run_doors(const Options& options) {
  std::printf("doors: %s, %u CPUs, %zu rounds of A B B A a mark\n", options.check ? "marks" : "table",
              std::thread::hardware_concurrency(), options.rounds());
  nlohmann::json results = {{"cpus", std::thread::hardware_concurrency()}};
  Duels duels(options, results);
  int missed = 0;
  if (options.check) {
    const std::vector<Measurement> measurements = {
        {"mebibyte_echo_parked",
         [&] { return duels.ring_vs_grpc(Work::kTransportEcho, Mode::kParked, std::size_t{1} << 20U); }},
        {"ping_hot", [&] { return duels.ring_vs_grpc(Work::kRuntime, Mode::kHot, 64); }},
        {"ping_default", [&] { return duels.ring_vs_grpc(Work::kRuntime, Mode::kDefault, 64); }},
    };
    missed = judge_marks("doors", measurements, options, results);
  } else {
    table(duels.houses().of(Mode::kDefault), options, results);
  }
  save(options, results);
  return missed == 0 || options.small ? 0 : 1;
}

int run_table(const std::string& runtime_dir, const std::string& tool) {
  std::printf("%-8s %-8s %10s %12s\n", "door", "body", "p50 us", "calls/s");
  for (const DoorChoice door : kDoors) {
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{1} << 20U}) {
      ClientOptions client;
      client.runtime_dir = runtime_dir;
      client.door = door;
      const Contestant contestant =
          door_contestant({.client = connect(client), .work = Work::kRuntime, .bytes = bytes, .tool = tool});
      const std::size_t calls = bytes > 64 ? 50 : 500;
      take_turn(contestant, calls / 2);
      const auto start = std::chrono::steady_clock::now();
      const Turn turn = take_turn(contestant, calls);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      std::printf("%-8s %-8s %10.1f %12.0f\n", contestant.name.c_str(), size_name(bytes).c_str(),
                  median_of(turn.ns) / 1000, static_cast<double>(calls) / seconds);
    }
  }
  return 0;
}

}  // namespace ringside::bench
