#include "bench/reattach.h"

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "bench/house.h"
#include "bench/rounds.h"

namespace ringside::bench {
namespace {

/// Milliseconds of the day that a log line begins with: 2026-01-31T12:34:56.789 …
double clock_ms(const std::string& line) {
  const auto number = [&](std::size_t at, std::size_t digits) { return std::stod(line.substr(at, digits)); };
  return ((number(11, 2) * 60 + number(14, 2)) * 60 + number(17, 2)) * 1000 + number(20, 3);
}

/// What the first start of worker 0 took, by the supervisor's log.
double cold_start_ms(const std::string& log) {
  std::istringstream lines(log);
  double started = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("worker 0 starting") != std::string::npos && started == 0) started = clock_ms(line);
    if (line.find("worker 0 ready") != std::string::npos) return clock_ms(line) - started;
  }
  throw GiveUp("the log does not say when worker 0 was ready:\n" + log);
}

/// One call through the ring; the pid that answered it.
pid_t ping(Client& client) {
  CallTrace trace;
  CallOptions options;
  options.trace = &trace;
  Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.headers.set("content-type", "application/json");
  request.body = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
  const Answer answer = client.call(std::move(request), options);
  if (!answer.ok() || answer->status != 200) throw GiveUp("a call was lost with its worker");
  return trace.worker_pid;
}

}  // namespace

double served_again(int workers, const Options& options, nlohmann::json& results) {
  std::vector<double> ratios;
  std::vector<double> again;
  std::vector<double> cold;
  for (std::size_t round = 0; round < options.rounds(); ++round) {
    const House house({.workers = workers});
    const auto client = house.connect(DoorChoice::kRing);
    const pid_t victim = ping(*client);
    house.wait_ready();
    const auto start = std::chrono::steady_clock::now();
    ::kill(victim, SIGKILL);
    if (ping(*client) == victim) throw GiveUp("a dead worker answered");
    again.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    cold.push_back(cold_start_ms(house.log()));
    ratios.push_back(again.back() / cold.back());
  }
  const Spread ratio = spread_of(ratios);
  std::printf("  served again after %.1f ms, a cold start takes %.1f ms: %.2f times as long (rounds %.2f to %.2f)\n",
              spread_of(again).median, spread_of(cold).median, ratio.median, ratio.lowest, ratio.highest);
  results["served_again"].push_back(
      {{"workers", workers}, {"again_ms", spread_of(again).median}, {"cold_ms", spread_of(cold).median}});
  return ratio.median;
}

}  // namespace ringside::bench
