#pragma once
// `ringside events`: what has happened to the supervisor and its workers, as far as it is kept, and with --follow also
// what happens from now on.

#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"

namespace ringside::control::v1 {
class Event;
}  // namespace ringside::control::v1

namespace ringside::cli {

struct EventsCommand {
  std::string runtime_dir;
  bool follow = false;  ///< goes on across an upgrade; ends with the supervisor
  bool json = false;    ///< one message of control.proto on each line
};

ExitCode run_events(const EventsCommand& command, std::ostream& out, std::ostream& err);

/// One line, without its end.
[[nodiscard]] std::string describe(const control::v1::Event& event);

}  // namespace ringside::cli
