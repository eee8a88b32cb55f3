#pragma once
// `ringside call METHOD [PARAMS]`: one JSON-RPC request through a door, in a session of its own where the method needs
// one.

#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"
#include "client/cpp/client.h"

namespace ringside::cli {

struct CallCommand {
  std::string runtime_dir;
  std::string method;
  std::string params;  ///< JSON as given, "-" (standard input) or "@FILE"; empty: none
  DoorChoice door = DoorChoice::kAuto;
  double timeout_s = 70;   ///< of the whole command
  std::string session_id;  ///< an open session to call in, which stays open; empty: one is opened and closed
  std::string server_id;
  bool trace = false;   ///< say on `err` how the call went
  bool raw = false;     ///< print the body and nothing after it
  bool stream = false;  ///< print what comes as it comes
};

/// Prints the answer's body, as it came, on `out` and what a person should know on `err`. The call's id is always 1, so
/// that the same call prints the same bytes whatever door it goes through.
ExitCode run_call(const CallCommand& command, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace ringside::cli
