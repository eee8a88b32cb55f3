#pragma once
// `ringside status`: what the supervisor says on control.sock, as tables or as JSON.

#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"

namespace ringside::control::v1 {
class StatusResponse;
}  // namespace ringside::control::v1

namespace ringside::cli {

struct StatusCommand {
  std::string runtime_dir;
  bool json = false;  ///< the message of proto/ringside/control/v1/control.proto, with its field names
  double timeout_s = 5;
};

ExitCode run_status(const StatusCommand& command, std::ostream& out, std::ostream& err);

/// The tables alone.
[[nodiscard]] std::string describe(const control::v1::StatusResponse& status);

}  // namespace ringside::cli
