#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "supervisor/adopted_sockets.h"
#include "supervisor/command_line.h"
#include "supervisor/config.h"
#include "supervisor/inheritance.h"
#include "supervisor/supervisor.h"

namespace ringside::supervisor {
namespace {

/// Every connection is a descriptor here for a moment; the soft limit is there for programs that use select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Before there are threads, so that all inherit it: the loop reads these from a signalfd.
void block_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGHUP);
  ::sigaddset(&set, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
}

LoadedConfig load(const CommandLine& line) {
  LoadedConfig loaded = load_config(line.config, ConfigEnvironment::read());
  if (line.workers) loaded.config.workers = *line.workers;
  if (line.log_level) loaded.config.log_level = *line.log_level;
  if (line.http_listen) loaded.config.edge.listen = line.http_listen;
  if (line.grpc_listen) loaded.config.edge.grpc_listen = line.grpc_listen;
  for (auto& fault : faults_of(loaded.config.edge)) loaded.errors.push_back(std::move(fault));
  return loaded;
}

int run(const CommandLine& line, std::vector<std::string> argv) {
  LoadedConfig loaded = load(line);
  if (line.check_config || !loaded.errors.empty()) {
    for (const auto& warning : loaded.warnings) std::fprintf(stderr, "%s\n", warning.c_str());
    for (const auto& error : loaded.errors) std::fprintf(stderr, "%s\n", error.c_str());
    if (!loaded.errors.empty()) return kExitUsage;
    std::printf("%s: fine\n", loaded.source.c_str());
    return kExitFine;
  }
  log::init("ringsided", loaded.config.log_level);
  for (const auto& warning : loaded.warnings) log::warn("{}", warning);
  auto inheritance = take_inheritance();
  if (!inheritance.ok()) {
    log::error("not started: {}", inheritance.error().message);
    return kExitFailed;
  }
  auto adopted = AdoptedSockets::take();
  if (!adopted.ok()) {
    log::error("not started: {}", adopted.error().message);
    return kExitFailed;
  }
  block_signals();
  raise_descriptor_limit();
  SupervisorOptions options;
  options.config = std::move(loaded.config);
  options.adopted = std::move(adopted).value();
  options.runtime_dir = line.runtime_dir;
  options.worker_program = line.worker_program;
  options.version = RINGSIDE_VERSION;
  options.metrics_port = line.metrics_port;
  options.seed = random_u64();
  options.load = [line] { return load(line); };
  options.argv = std::move(argv);
  options.inheritance = std::move(inheritance).value();
  const auto supervisor = Supervisor::create(std::move(options), system_clock());
  if (!supervisor.ok()) {
    log::error("not started: {}", supervisor.error().message);
    return kExitFailed;
  }
  return (*supervisor)->run().ok() ? kExitFine : kExitFailed;
}

}  // namespace
}  // namespace ringside::supervisor

int main(int argc, char** argv) {
  const auto line = ringside::supervisor::parse_command_line(argc, argv);
  if (const int* code = std::get_if<int>(&line)) return *code;
  std::vector<std::string> arguments{ringside::supervisor::own_program()};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  return ringside::supervisor::run(std::get<ringside::supervisor::CommandLine>(line), std::move(arguments));
}
