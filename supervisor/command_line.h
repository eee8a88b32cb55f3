#pragma once
// What stands behind `ringsided` on its command line.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "supervisor/tcp_place.h"

namespace ringside::supervisor {

inline constexpr int kExitFine = 0;
inline constexpr int kExitFailed = 1;  ///< could not start, or the loop failed
inline constexpr int kExitUsage = 2;   ///< wrong usage or configuration

struct CommandLine {
  std::optional<std::string> config;
  bool check_config = false;
  std::string runtime_dir = "/run/ringside";
  std::optional<std::uint32_t> workers;
  std::string worker_program;  ///< found beside our own program unless named
  std::optional<std::string> log_level;
  std::uint16_t metrics_port = 0;  ///< 0: none
  std::optional<TcpPlace> http_listen;
  std::optional<TcpPlace> grpc_listen;
};

/// The parsed line, or the exit code after what had to be printed was printed (--help, --version, wrong usage).
std::variant<CommandLine, int> parse_command_line(int argc, const char* const* argv);

}  // namespace ringside::supervisor
