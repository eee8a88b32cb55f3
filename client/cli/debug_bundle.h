#pragma once
// `ringside debug-bundle`: what a person who is to help needs to see, in one tar.gz, with the secrets left out.

#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"

namespace ringside::cli {

struct DebugBundleCommand {
  std::string runtime_dir;
  std::string config = "/etc/ringside/ringside.json";
  std::string output;  ///< empty: ringside-debug-TIME.tar.gz here
  double timeout_s = 5;
};

/// Prints the file's name on `out`. What cannot be had (nobody answers, say) is named in the bundle and on `err`, and
/// the rest is bundled. kAnsweredWithError when no file can be written.
ExitCode run_debug_bundle(const DebugBundleCommand& command, std::ostream& out, std::ostream& err);

}  // namespace ringside::cli
