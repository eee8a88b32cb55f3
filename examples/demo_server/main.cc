// demo_server: a small native MCP server, over stdio or Streamable HTTP. See README.md beside this file.

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>

#include "base/log.h"
#include "examples/demo_server/http_front.h"
#include "examples/demo_server/request_log.h"
#include "examples/demo_server/server.h"
#include "examples/demo_server/stdio.h"

namespace ringside::demo {
namespace {

/// Readable once somebody wants the program to end. Made before any thread, so that all inherit the blocked signals.
UniqueFd stop_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  (void)std::signal(SIGPIPE, SIG_IGN);
  return UniqueFd(::signalfd(-1, &signals, SFD_CLOEXEC));
}

int serve_http(Server& server, RequestLog& log, std::uint16_t port, int stop) {
  HttpFront front(server, log);
  const auto bound = front.listen(port);
  if (!bound.ok()) {
    std::fprintf(stderr, "demo_server: cannot listen on port %u\n", static_cast<unsigned>(port));
    return 1;
  }
  std::printf("listening on http://127.0.0.1:%u/mcp\n", static_cast<unsigned>(*bound));
  std::fflush(stdout);
  pollfd wait{stop, POLLIN, 0};
  while (::poll(&wait, 1, -1) < 0) {
  }
  return 0;
}

/// False: it cannot be opened. An empty path is no log.
bool open_log(const std::string& path, UniqueFd& file) {
  if (path.empty()) return true;
  auto opened = RequestLog::open(path);
  if (opened.ok()) {
    file = *std::move(opened);
  } else {
    std::fprintf(stderr, "demo_server: cannot open %s\n", path.c_str());
  }
  return opened.ok();
}

int run(int argc, char** argv) {
  CLI::App app("A small native MCP server: tools echo, add, sleep, blob, progress, fail", "demo_server");
  bool http = false;
  std::uint16_t port = 0;
  std::string log_path;
  std::string calls_path;
  auto* http_flag = app.add_flag("--http", http, "Serve Streamable HTTP on loopback at /mcp instead of stdio");
  app.add_option("--port", port, "With --http: the port (0: any)")->needs(http_flag);
  app.add_option("--log-requests", log_path, "Append each request's raw body to this file, a line each");
  app.add_option("--log-calls", calls_path, "Append the params of each tools/call that runs to this file, a line each");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  log::init("demo_server", "warn");
  UniqueFd log_file;
  UniqueFd calls_file;
  if (!open_log(log_path, log_file) || !open_log(calls_path, calls_file)) return 1;
  RequestLog log(std::move(log_file));
  RequestLog calls(std::move(calls_file));
  const UniqueFd stop = stop_signals();
  Server server(calls);
  if (http) return serve_http(server, log, port, stop.get());
  return serve_stdio(server, log, STDIN_FILENO, STDOUT_FILENO, stop.get());
}

}  // namespace
}  // namespace ringside::demo

int main(int argc, char** argv) { return ringside::demo::run(argc, argv); }
