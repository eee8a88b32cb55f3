#include "bench/lives.h"

#include <grpcpp/client_context.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unix_socket.h"
#include "bench/house.h"
#include "bench/marks.h"
#include "bench/peer.h"
#include "bench/peer_process.h"
#include "bench/rounds.h"
#include "bench/usage.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"

namespace ringside::bench {
namespace {

namespace contract = contextforge::mcp::runtime::v1;
using Time = std::chrono::steady_clock;

constexpr int kMessageBytes = 1 << 20;
constexpr auto kPatience = std::chrono::seconds(30);

double ms_since(Time::time_point start) {
  return std::chrono::duration<double, std::milli>(Time::now() - start).count();
}

void invoke(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  contract::McpRequest request;
  request.set_method("POST");
  request.set_path("/mcp");
  (*request.mutable_headers())["content-type"] = "application/json";
  request.set_body(R"({"jsonrpc":"2.0","id":1,"method":"ping"})");
  contract::McpResponse response;
  const grpc::Status status = contract::McpRuntime::NewStub(channel)->Invoke(&context, request, &response);
  if (!status.ok()) throw GiveUp("the first call was not answered: " + status.error_message());
}

/// From the start of ringsided, whose socket somebody else holds and a client waits at, to that client's answer.
double ringside_first_answer_ms() {
  const test::TempDir folder;
  const std::string dir = folder.file("run");
  std::filesystem::create_directory(dir);
  std::filesystem::permissions(dir, std::filesystem::perms(0750));
  test::write_file(folder.file("ringside.json"), R"({"mcpServers": {"builtin": {"builtin": true}}})");
  auto socket = listen_at(dir + "/runtime.sock", SocketKind::kStream);
  if (!socket.ok()) throw GiveUp("no socket for the first client");
  const auto start = Time::now();
  // The shell's pid stays when it becomes the program.
  const test::Process supervisor(
      {.argv = {"/bin/sh", "-c", R"(LISTEN_PID=$$ exec "$@")", "sh", test::program("ringsided"), "--config",
                folder.file("ringside.json"), "--runtime-dir", dir},
       .environment = {"LISTEN_FDS=1", "LISTEN_FDNAMES=runtime"},
       .descriptors = {socket->get()}});
  invoke(rpc::channel_to_path(dir + "/runtime.sock", kMessageBytes));
  return ms_since(start);
}

/// The same of a server that does nothing but gRPC.
double plain_first_answer_ms() {
  auto pair = socket_pair(SocketKind::kStream, /*blocking=*/false);
  if (!pair.ok()) throw GiveUp("no socket for the plain server");
  const auto start = Time::now();
  const PeerProcess peer("grpc", pair->second.get());
  pair->second.reset();
  invoke(rpc::channel_on_fd(std::move(pair->first), kMessageBytes));
  return ms_since(start);
}

struct FirstAnswer {
  Spread ringside;
  Spread ratio;
};

FirstAnswer first_answer(const Options& options, nlohmann::json& results) {
  std::vector<double> ours;
  std::vector<double> ratios;
  for (std::size_t round = 0; round < options.rounds(); ++round) {
    // A B B A: a machine's drift hits both alike.
    const double first = ringside_first_answer_ms();
    const double plain = (plain_first_answer_ms() + plain_first_answer_ms()) / 2;
    ours.push_back((first + ringside_first_answer_ms()) / 2);
    ratios.push_back(ours.back() / plain);
  }
  const FirstAnswer out{spread_of(ours), spread_of(ratios)};
  std::printf("  first answer after %.0f ms (rounds %.0f to %.0f), %.1f times a bare gRPC server's (%.1f to %.1f)\n",
              out.ringside.median, out.ringside.lowest, out.ringside.highest, out.ratio.median, out.ratio.lowest,
              out.ratio.highest);
  results["first_answer_ms"] = out.ringside.median;
  return out;
}

/// A line of /proc/PID/status, in MiB.
double status_mib(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::stod(line.substr(name.size())) / 1024;
  }
  throw GiveUp("a process does not tell its memory");
}

std::size_t descriptors_of(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

double idle_cpu_percent(const Options& options) {
  const House house({.workers = 2});
  house.wait_ready();
  // What is measured is time that passes, so there is no event to wait for.
  const auto span = options.small ? std::chrono::seconds(1) : std::chrono::seconds(10);
  const double before = cpu_seconds(house.supervisor_pid());
  std::this_thread::sleep_for(span);
  const double used = cpu_seconds(house.supervisor_pid()) - before;
  return 100 * used / std::chrono::duration<double>(span).count();
}

double rss_mib() {
  const House house({.workers = 2});
  house.wait_ready();
  return status_mib(house.supervisor_pid(), "VmRSS:");
}

/// Restarts one of two workers again and again; what the supervisor has more of afterwards.
struct Leak {
  double descriptors = 0;
  double rss_mib = 0;
};

class Restarts {
 public:
  Restarts()
      : house_({.workers = 2}),
        stub_(ringside::control::v1::Control::NewStub(
            rpc::channel_to_path(house_.dir() + "/control.sock", kMessageBytes))) {
    house_.wait_ready();
  }

  Leak measure(int times) {
    restart(times / 10 + 1);
    const Leak before = now();
    restart(times);
    const Leak after = now();
    return {after.descriptors - before.descriptors, after.rss_mib - before.rss_mib};
  }

 private:
  [[nodiscard]] Leak now() const {
    const pid_t pid = house_.supervisor_pid();
    return {static_cast<double>(descriptors_of(pid)), status_mib(pid, "VmRSS:")};
  }

  void restart(int times) {
    for (int i = 0; i < times; ++i) {
      const auto before = pids();
      grpc::ClientContext context;
      ringside::control::v1::WorkerRequest request;
      ringside::control::v1::OrderResponse response;
      if (!stub_->RestartWorker(&context, request, &response).ok() || !response.accepted()) {
        throw GiveUp("a restart was refused");
      }
      const bool done = test::eventually([&] {
        const auto is = pids();
        return is.size() == 2 && is[0] != before[0];
      });
      if (!done) throw GiveUp("a worker was not restarted:\n" + house_.log());
    }
  }

  /// Of all workers, those that drain too.
  [[nodiscard]] std::vector<int> pids() const {
    grpc::ClientContext context;
    ringside::control::v1::StatusResponse response;
    if (!stub_->Status(&context, {}, &response).ok()) throw GiveUp("the supervisor does not answer");
    std::vector<int> out;
    for (const auto& worker : response.workers()) {
      if (worker.pid() != 0) out.push_back(worker.pid());
    }
    return out;
  }

  House house_;
  std::unique_ptr<ringside::control::v1::Control::Stub> stub_;
};

}  // namespace

int run_supervisor(const Options& options) {
  nlohmann::json results = {{"cpus", std::thread::hardware_concurrency()}};
  const int times = options.small ? 10 : 1000;
  std::optional<FirstAnswer> first;
  const auto first_once = [&]() -> FirstAnswer& {
    if (!first) first = first_answer(options, results);
    return *first;
  };
  std::optional<Leak> leak;
  const auto leak_once = [&]() -> Leak& {
    if (!leak) {
      leak = Restarts().measure(times);
      std::printf("  after %d restarts: %+.0f descriptors, %+.2f MiB\n", times, leak->descriptors, leak->rss_mib);
    }
    return *leak;
  };
  const std::vector<Measurement> measurements = {
      {"first_answer_ms", [&] { return first_once().ringside.median; }},
      {"first_answer_ratio", [&] { return first_once().ratio.median; }},
      {"idle_cpu", [&] { return idle_cpu_percent(options); }},
      {"idle_rss", [] { return rss_mib(); }},
      {"restarts_descriptors", [&] { return leak_once().descriptors; }},
      {"restarts_rss", [&] { return leak_once().rss_mib; }},
  };
  const int missed = judge_marks("supervisor", measurements, options, results);
  save(options, results);
  return missed == 0 || options.small ? 0 : 1;
}

}  // namespace ringside::bench
