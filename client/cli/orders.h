#pragma once
// `ringside workers N`, `ringside worker drain|restart N`, `ringside reload`, `ringside upgrade`: orders to the
// supervisor, on control.sock.

#include <cstdint>
#include <iosfwd>
#include <string>

#include "client/cli/exit_code.h"

namespace ringside::cli {

enum class OrderKind { kWorkers, kDrain, kRestart, kReload, kUpgrade };

struct OrderCommand {
  std::string runtime_dir;
  OrderKind kind = OrderKind::kReload;
  std::uint32_t number = 0;  ///< of workers, or a worker's index
  bool wait = true;          ///< until the order is carried out
  double timeout_s = 60;     ///< of the whole command
};

/// kAnsweredWithError: refused (`err` says why), or not carried out in time.
ExitCode run_order(const OrderCommand& command, std::ostream& out, std::ostream& err);

}  // namespace ringside::cli
