#pragma once
// `ringside health`: the standard grpc.health.v1 check, for people and for an orchestrator's probe.

#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"

namespace ringside::cli {

struct HealthCommand {
  std::string runtime_dir;
  std::string socket;      ///< runtime or control; empty: control for the two below, else runtime
  bool liveness = false;   ///< does the supervisor's loop turn? Else it wants a restart
  bool readiness = false;  ///< are calls taken?
  std::string service;     ///< empty: the whole process
  double timeout_s = 5;
};

/// Prints SERVING, NOT_SERVING or SERVICE_UNKNOWN on `out`, and on `err` why it is not the first. kFine only when
/// SERVING.
ExitCode run_health(const HealthCommand& command, std::ostream& out, std::ostream& err);

}  // namespace ringside::cli
