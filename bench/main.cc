// ringside_bench: what scripts/bench runs.

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/log.h"
#include "bench/doors.h"
#include "bench/lives.h"
#include "bench/options.h"
#include "bench/rings.h"

namespace {

CLI::App* add_command(CLI::App& app, const char* name, const char* what, ringside::bench::Options& options) {
  auto* command = app.add_subcommand(name, what);
  command->add_flag("--check", options.check, "judge the marks of bench/marks.json; exit 1 if one is missed");
  command->add_flag("--small", options.small, "few calls and no judgement");
  command->add_option("--only", options.only, "with --check: this mark alone");
  command->add_option("--json", options.json_path, "write the figures to this file too");
  return command;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures Ringside; run it by scripts/bench");
  app.require_subcommand(1);
  ringside::bench::Options options;
  auto* doors = add_command(app, "doors", "every door by body size, beside the floors", options);
  auto* rings = add_command(app, "rings", "many calls under way; what rings promise", options);
  auto* supervisor = add_command(app, "supervisor", "first answer, idle costs, a thousand restarts", options);
  std::string runtime_dir;
  auto* table = app.add_subcommand("table", "a short table of a Ringside that runs already");
  table->add_option("--runtime-dir", runtime_dir, "where its sockets are")->required();
  std::string tool = "echo";
  table->add_option("--tool", tool, "its name of the builtin echo tool");
  CLI11_PARSE(app, argc, argv);
  ringside::log::init("ringside_bench", "warn");
  // As the worker does, for every contestant alike: measure doors, not how often glibc gives pages back.
  constexpr int kMiB = 1 << 20;
  ::mallopt(M_MMAP_THRESHOLD, 32 * kMiB);
  ::mallopt(M_TRIM_THRESHOLD, 256 * kMiB);
  ::mallopt(M_TOP_PAD, 16 * kMiB);
  try {
    if (*table) return ringside::bench::run_table(runtime_dir, tool);
    if (*rings) return ringside::bench::run_rings(options);
    if (*supervisor) return ringside::bench::run_supervisor(options);
    return *doors ? ringside::bench::run_doors(options) : 2;
  } catch (const ringside::bench::GiveUp& reason) {
    std::fprintf(stderr, "bench: %s\n", reason.what());
    return 1;
  }
}
