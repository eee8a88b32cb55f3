#pragma once
// `ringside top`: what a Ringside does right now, again each second.

#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"

namespace ringside::cli {

struct TopCommand {
  std::string runtime_dir;
  bool json = false;  ///< one frame, as JSON
  double timeout_s = 5;
};

/// On a terminal until q, Ctrl-C or the end of input; else one frame, over one second.
ExitCode run_top(const TopCommand& command, std::ostream& out, std::ostream& err);

}  // namespace ringside::cli
