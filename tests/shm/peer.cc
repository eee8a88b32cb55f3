// A worker in a process of its own, for tests: listens at argv[1], attaches one client, answers each call with its own
// bytes. It ends when the client's connection does.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "base/unix_socket.h"
#include "shm/worker_end.h"

namespace ringside::shm {
namespace {

bool serve(WorkerEnd& end) {
  while (true) {
    auto taken = end.take();
    if (!taken.ok()) return false;
    if (!taken->has_value()) return true;
    const auto& call = **taken;
    if (!call.cancel) (void)end.complete(call.slot, call.sequence, 200, call.header, call.body);
  }
}

int run(const std::string& path) {
  const auto listening = listen_at(path, SocketKind::kSeqPacket);
  if (!listening.ok()) return 1;
  std::puts("READY");
  std::fflush(stdout);
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  const auto watch = [&epoll](int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  epoll_event event{};
  if (!watch(listening->get(), EPOLLIN) || ::epoll_wait(epoll.get(), &event, 1, -1) != 1) return 2;
  const UniqueFd connection(::accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC));
  auto request = receive_message(connection.get(), 16);
  if (!request.ok() || request->descriptors.size() != 1) return 3;
  std::string_view reason;
  WorkerEndOptions options;
  options.ring = 1;
  auto end = WorkerEnd::attach(std::move(request->descriptors[0]), options, reason);
  if (!end.ok()) return 4;
  const std::array descriptors = {(*end)->response_fd(), (*end)->doorbell_fd()};
  if (!send_message(connection.get(), "attached", descriptors).ok()) return 5;
  if (!watch((*end)->doorbell_fd(), EPOLLIN | EPOLLET) || !watch(connection.get(), EPOLLIN)) return 6;
  while (true) {
    if (!serve(**end)) return 7;
    if (!(*end)->park()) continue;
    if (::epoll_wait(epoll.get(), &event, 1, -1) != 1) return 8;
    if (event.data.fd == connection.get()) return 0;
    (*end)->unpark();
  }
}

}  // namespace
}  // namespace ringside::shm

int main(int argc, char** argv) { return argc == 2 ? ringside::shm::run(argv[1]) : 9; }
