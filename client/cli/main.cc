// ringside: the command line of a running Ringside.

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "base/log.h"
#include "client/cli/call.h"
#include "client/cli/debug_bundle.h"
#include "client/cli/events.h"
#include "client/cli/health.h"
#include "client/cli/orders.h"
#include "client/cli/status.h"
#include "client/cli/top.h"

namespace ringside::cli {
namespace {

constexpr const char* kAbout =
    "Talks to a running Ringside.\n"
    "Exit codes: 0 fine, 1 answered with an error, 2 wrong usage, 3 nobody answers.";

// By name, since CLI11 would take our to_string of a DoorChoice for its own.
const std::map<std::string, DoorChoice>& doors() {
  static const std::map<std::string, DoorChoice> kDoors = {{"auto", DoorChoice::kAuto},
                                                           {"ring", DoorChoice::kRing},
                                                           {"handle", DoorChoice::kHandle},
                                                           {"grpc", DoorChoice::kGrpc},
                                                           {"http", DoorChoice::kHttp}};
  return kDoors;
}

void set_up_call(CLI::App& app, CallCommand& command) {
  app.add_option("METHOD", command.method, "JSON-RPC method, such as tools/list")->required();
  app.add_option("PARAMS", command.params, "Its params: JSON, sent as given; @FILE, or - for standard input");
  app.add_option_function<std::string>(
         "--door", [&command](const std::string& name) { command.door = doors().at(name); },
         "auto, ring, handle, grpc or http")
      ->check(CLI::IsMember(doors()));
  app.add_option("--timeout", command.timeout_s, "Seconds the whole call may take")->check(CLI::PositiveNumber);
  app.add_option("--session", command.session_id, "Call in this session, and leave it open");
  app.add_option("--server-id", command.server_id, "Virtual server to call");
  app.add_flag("--trace", command.trace, "Say on stderr how the call went");
  app.add_flag("--stream", command.stream, "Print what comes before the answer too, as it comes (server-sent events)");
  app.add_flag("--raw", command.raw, "Print the answer without a newline after it");
}

void set_up_health(CLI::App& app, HealthCommand& command) {
  app.add_option("--socket", command.socket, "runtime (a worker, the default) or control (the supervisor)")
      ->check(CLI::IsMember({"runtime", "control"}));
  auto* service = app.add_option("--service", command.service, "Service to ask for; none: the whole process");
  auto* live = app.add_flag("--liveness", command.liveness, "Ask the supervisor whether it is alive; if not, restart");
  auto* ready = app.add_flag("--readiness", command.readiness, "Ask the supervisor whether calls are taken");
  live->excludes(service)->excludes(ready);
  ready->excludes(service);
  app.add_option("--timeout", command.timeout_s, "Seconds to wait for the answer")->check(CLI::PositiveNumber);
}

void set_up_status(CLI::App& app, StatusCommand& command) {
  app.add_flag("--json", command.json, "Print JSON instead of tables");
  app.add_option("--timeout", command.timeout_s, "Seconds to wait for the answer")->check(CLI::PositiveNumber);
}

void set_up_events(CLI::App& app, EventsCommand& command) {
  app.add_flag("--follow,-f", command.follow, "Go on with what happens from now on");
  app.add_flag("--json", command.json, "One JSON object on each line");
}

/// The commands that ask the supervisor for something; each sets the order's kind when it is chosen.
void set_up_orders(CLI::App& app, OrderCommand& order) {
  const auto add = [&order](CLI::App& to, const char* name, const char* what, OrderKind kind) {
    auto* command = to.add_subcommand(name, what);
    command->add_flag("!--no-wait", order.wait, "Return once the order is accepted");
    command->add_option("--timeout", order.timeout_s, "Seconds until it has to be carried out")
        ->check(CLI::PositiveNumber);
    command->callback([&order, kind] { order.kind = kind; });
    return command;
  };
  add(app, "workers", "Run so many workers, until the next reload", OrderKind::kWorkers)
      ->add_option("N", order.number, "1 to 64")
      ->required()
      ->check(CLI::Range(1, 64));
  auto* worker = app.add_subcommand("worker", "Drain or restart one worker");
  worker->require_subcommand(1);
  for (auto* command :
       {add(*worker, "drain", "Take it out of service, until it is restarted", OrderKind::kDrain),
        add(*worker, "restart", "Replace it; the new one is ready before it drains", OrderKind::kRestart)}) {
    command->add_option("N", order.number, "Its number in `ringside status`")->required();
  }
  add(app, "reload", "Read the configuration again; a wrong one changes nothing", OrderKind::kReload);
  add(app, "upgrade", "Put the installed program in the running one's place", OrderKind::kUpgrade);
}

void set_up_top(CLI::App& app, TopCommand& command) {
  app.add_flag("--json", command.json, "Print one frame as JSON, and end");
  app.add_option("--timeout", command.timeout_s, "Seconds to wait for an answer")->check(CLI::PositiveNumber);
}

void set_up_debug_bundle(CLI::App& app, DebugBundleCommand& command) {
  app.add_option("--config", command.config, "The configuration; its secrets are left out")->capture_default_str();
  app.add_option("--output", command.output, "File to make (default: ringside-debug-TIME.tar.gz)");
  app.add_option("--timeout", command.timeout_s, "Seconds to wait for each answer")->check(CLI::PositiveNumber);
}

int run(int argc, char** argv) {
  std::string runtime_dir = "/run/ringside";
  CallCommand call;
  HealthCommand health;
  StatusCommand status;
  EventsCommand events;
  OrderCommand order;
  TopCommand top;
  DebugBundleCommand bundle;
  CLI::App app(kAbout, "ringside");
  app.set_version_flag("--version", RINGSIDE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--runtime-dir", runtime_dir, "Folder of the sockets")
      ->envname("RINGSIDE_RUNTIME_DIR")
      ->capture_default_str();
  auto* call_app = app.add_subcommand("call", "Send one JSON-RPC request and print its answer");
  auto* health_app = app.add_subcommand("health", "Ask for health; exit code 0 only when SERVING");
  auto* status_app = app.add_subcommand("status", "Show the supervisor, its workers and their upstreams");
  auto* events_app = app.add_subcommand("events", "Show what has happened to the supervisor and its workers");
  set_up_events(*events_app, events);
  set_up_orders(app, order);
  set_up_call(*call_app, call);
  set_up_health(*health_app, health);
  set_up_status(*status_app, status);
  auto* top_app = app.add_subcommand("top", "Show what it does right now, again each second; q ends");
  set_up_top(*top_app, top);
  auto* bundle_app = app.add_subcommand("debug-bundle", "Pack what a helper needs to see, without secrets");
  set_up_debug_bundle(*bundle_app, bundle);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& fault) {
    return app.exit(fault) == 0 ? kFine : kWrongUsage;
  }
  call.runtime_dir = health.runtime_dir = status.runtime_dir = top.runtime_dir = bundle.runtime_dir = runtime_dir;
  events.runtime_dir = order.runtime_dir = runtime_dir;
  ExitCode code = kFine;
  if (call_app->parsed()) code = run_call(call, std::cin, std::cout, std::cerr);
  if (health_app->parsed()) code = run_health(health, std::cout, std::cerr);
  if (status_app->parsed()) code = run_status(status, std::cout, std::cerr);
  if (events_app->parsed()) code = run_events(events, std::cout, std::cerr);
  for (const char* name : {"workers", "worker", "reload", "upgrade"}) {
    if (app.got_subcommand(name)) code = run_order(order, std::cout, std::cerr);
  }
  if (top_app->parsed()) code = run_top(top, std::cout, std::cerr);
  if (bundle_app->parsed()) code = run_debug_bundle(bundle, std::cout, std::cerr);
  if (!std::cout.flush()) {
    std::cerr << "ringside: the answer could not be written to standard output\n";
    return kAnsweredWithError;
  }
  return code;
}

}  // namespace
}  // namespace ringside::cli

int main(int argc, char** argv) {
  const char* level = std::getenv("RINGSIDE_LOG_LEVEL");
  ringside::log::init("ringside", level == nullptr ? "error" : level);
  return ringside::cli::run(argc, argv);
}
