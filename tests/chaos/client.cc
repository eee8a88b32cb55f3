// The client process: connects to argv[1] with the seed argv[2] under the ring's id argv[3], makes argv[4] calls (0:
// until it is asked to stop), dies at the argv[6]-th passing of step argv[5]. When its worker hangs up, it attaches
// again.

#include <cstdio>
#include <cstdlib>

#include "base/unix_socket.h"
#include "tests/chaos/caller.h"

namespace ringside::shm::chaos {
namespace {

constexpr std::uint64_t kForEver = 1ULL << 60U;

int run(const std::string& path, std::uint64_t seed, std::uint64_t ring, std::uint64_t calls, Doom doom) {
  doom_this_process(doom);
  Caller caller(seed, ring);
  const std::uint64_t most = calls == 0 ? kForEver : calls;
  while (true) {
    auto connection = connect_to(path, SocketKind::kSeqPacket);
    if (!connection.ok()) return 2;
    if (!caller.attach(std::move(*connection), {}, -1)) continue;
    const bool called = caller.answered() >= most || caller.call(most - caller.answered());
    if (called && caller.finish() && caller.probe()) return 0;
    (void)caller.lose();
  }
}

}  // namespace
}  // namespace ringside::shm::chaos

int main(int argc, char** argv) {
  if (argc != 7) return 9;
  const auto number = [argv](int index) { return std::strtoull(argv[index], nullptr, 10); };
  try {
    return ringside::shm::chaos::run(argv[1], number(2), number(3), number(4),
                                     {std::atoi(argv[5]), static_cast<std::uint32_t>(number(6))});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "chaos_client: %s\n", error.what());
    return 1;
  }
}
