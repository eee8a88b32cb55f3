// The worker process: connects to argv[1], serves the client that it is sent, and dies as it is told to.

#include <unistd.h>

#include <cstdio>

#include "base/unix_socket.h"
#include "tests/chaos/host.h"

namespace ringside::shm::chaos {
namespace {

int run(const std::string& path) {
  auto connection = connect_to(path, SocketKind::kSeqPacket);
  if (!connection.ok()) return 2;
  Ask ask;
  std::vector<UniqueFd> descriptors;
  if (!receive_ask(connection->get(), ask, descriptors)) return 0;  // it was a spare
  promise(descriptors.size() == 2, "a worker gets a segment and a log");
  const UniqueFd log = std::move(descriptors[1]);
  doom_this_process(ask.doom);
  Host host(-1, [&log](std::uint64_t /*ring*/, const Effect& effect) {
    promise(::write(log.get(), &effect, sizeof effect) == sizeof effect, "the log takes an effect");
  });
  if (host.attach(std::move(*connection), ask, std::move(descriptors[0]))) {
    host.serve([&host] { return host.rings() == 0; });
  }
  return 0;
}

}  // namespace
}  // namespace ringside::shm::chaos

int main(int argc, char** argv) {
  if (argc != 2) return 9;
  try {
    return ringside::shm::chaos::run(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "chaos_worker: %s\n", error.what());
    return 1;
  }
}
