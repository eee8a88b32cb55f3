#include "supervisor/command_line.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <system_error>

namespace ringside::supervisor {
namespace {

/// Beside our own program, as it is built, or in ../lib/ringside, as it is installed.
std::string find_worker() {
  std::error_code ignored;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  const auto installed = folder.parent_path() / "lib" / "ringside" / "ringside-worker";
  const auto built = folder / "ringside-worker";
  return (!std::filesystem::exists(built, ignored) && std::filesystem::exists(installed, ignored) ? installed : built)
      .string();
}

std::optional<std::uint16_t> loopback_port(std::string_view place) {
  constexpr std::string_view kHost = "127.0.0.1:";
  if (place.starts_with(kHost)) place.remove_prefix(kHost.size());
  std::uint16_t port = 0;
  const char* const end = place.data() + place.size();
  const auto [stop, error] = std::from_chars(place.data(), end, port);
  return error == std::errc() && stop == end && port != 0 ? std::optional(port) : std::nullopt;
}

/// An option that names where to listen.
void add_place(CLI::App& app, const std::string& name, std::optional<TcpPlace>& to, const std::string& what) {
  app.add_option_function<std::string>(
         name, [&to](const std::string& place) { to = parse_tcp_place(place); }, what)
      ->check([](const std::string& place) {
        return parse_tcp_place(place) ? std::string() : "expected HOST:PORT, got \"" + place + "\"";
      });
}

}  // namespace

std::variant<CommandLine, int> parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app("The supervisor of Ringside, a native MCP runtime: owns the sockets and the workers.", "ringsided");
  app.set_version_flag("--version", RINGSIDE_VERSION);
  app.add_option("--config", line.config, "Configuration, JSON with comments (default: /etc/ringside/ringside.json)");
  app.add_flag("--check-config", line.check_config, "Check the configuration and exit: 0 when it is fine, 2 when not");
  app.add_option("--runtime-dir", line.runtime_dir, "Where the sockets are")->capture_default_str();
  app.add_option("--workers", line.workers, "How many workers to run, above the configuration")
      ->check(CLI::Range(std::uint32_t{1}, std::uint32_t{64}));
  app.add_option("--worker-program", line.worker_program,
                 "The worker (default: ringside-worker beside this program, or in ../lib/ringside)");
  app.add_option("--log-level", line.log_level, "Above the configuration")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
  app.add_option_function<std::string>(
         "--metrics-listen", [&line](const std::string& place) { line.metrics_port = *loopback_port(place); },
         "Serve metrics over TCP too: a port of 127.0.0.1")
      ->check([](const std::string& place) {
        return loopback_port(place) ? std::string() : "expected PORT or 127.0.0.1:PORT, got \"" + place + "\"";
      });
  add_place(app, "--http-listen", line.http_listen,
            "Serve MCP clients over TCP at HOST:PORT, above \"edge\".\"listen\" of the configuration");
  add_place(app, "--grpc-listen", line.grpc_listen,
            "Serve the gRPC contract over TCP with mutual TLS at HOST:PORT, above \"edge\".\"grpcListen\"");
  app.footer("Exit codes: 0 fine, 1 could not start, 2 wrong usage or configuration.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitFine : kExitUsage;
  }
  if (line.worker_program.empty()) line.worker_program = find_worker();
  return line;
}

}  // namespace ringside::supervisor
