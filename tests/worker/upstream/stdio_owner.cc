// Owns a stdio upstream whose child has planted a tree of processes, tells their ids, and waits to be killed.
//   stdio_owner GUARD PEER
#include <unistd.h>

#include <iostream>

#include "base/log.h"
#include "worker/upstream/upstreams.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  ringside::log::init("stdio_owner", "warn");
  ringside::worker::StdioUpstreamOptions options;
  options.name = "owned";
  options.guard_program = argv[1];
  options.command = argv[2];
  options.args = {"--stubborn"};
  const auto upstream = ringside::worker::make_stdio_upstream(std::move(options));
  upstream->send({.message = R"({"jsonrpc":"2.0","id":1,"method":"tree"})", .id = 1}, [](const auto& response) {
    std::cout << (response.ok() ? *response : std::string(response.error().message)) << '\n' << std::flush;
  });
  for (;;) ::pause();
}
