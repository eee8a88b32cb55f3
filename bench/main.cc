// ringside_bench: what scripts/bench runs.

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <string>

#include "base/log.h"
#include "bench/doors.h"

int main(int argc, char** argv) {
  CLI::App app("Measures Ringside; run it by scripts/bench");
  app.require_subcommand(1);
  ringside::bench::DoorsOptions doors;
  auto* doors_command = app.add_subcommand("doors", "every door by body size, beside the floors");
  doors_command->add_flag("--check", doors.check, "judge the marks of bench/marks.json; exit 1 if one is missed");
  doors_command->add_flag("--small", doors.small, "few calls and no judgement");
  doors_command->add_option("--json", doors.json_path, "write the figures to this file too");
  std::string runtime_dir;
  auto* table_command = app.add_subcommand("table", "a short table of a Ringside that runs already");
  table_command->add_option("--runtime-dir", runtime_dir, "where its sockets are")->required();
  std::string tool = "echo";
  table_command->add_option("--tool", tool, "its name of the builtin echo tool");
  CLI11_PARSE(app, argc, argv);
  ringside::log::init("ringside_bench", "warn");
  // As the worker does, for every contestant alike: measure doors, not how often glibc gives pages back.
  constexpr int kMiB = 1 << 20;
  ::mallopt(M_MMAP_THRESHOLD, 32 * kMiB);
  ::mallopt(M_TRIM_THRESHOLD, 256 * kMiB);
  ::mallopt(M_TOP_PAD, 16 * kMiB);
  if (*table_command) return ringside::bench::run_table(runtime_dir, tool);
  return ringside::bench::run_doors(doors);
}
