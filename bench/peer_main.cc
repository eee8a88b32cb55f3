// bench_peer MODE: the other side of a floor, in a process of its own. Ends when its descriptor does.

#include <grpcpp/grpcpp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string_view>
#include <vector>

#include "bench/peer.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"

namespace {

namespace contract = contextforge::mcp::runtime::v1;
using ringside::bench::kPeerFd;
using ringside::bench::kPeerSecondFd;

int serve_eventfd() {
  eventfd_t value = 0;
  while (::eventfd_read(kPeerFd, &value) == 0) ::eventfd_write(kPeerSecondFd, 1);
  return 0;
}

int serve_futex() {
  void* memory = ::mmap(nullptr, sizeof(ringside::bench::FutexPage), PROT_READ | PROT_WRITE, MAP_SHARED, kPeerFd, 0);
  if (memory == MAP_FAILED) return 1;
  auto& page = *static_cast<ringside::bench::FutexPage*>(memory);
  for (std::uint32_t seen = 0;; ++seen) {
    ringside::bench::futex_wait_change(page.ping, seen);
    page.pong.store(seen + 1, std::memory_order_release);
    ringside::bench::futex_wake(page.pong);
  }
}

/// As a worker serves a ring: found by epoll on a doorbell that is never read, answered by a futex wake.
int serve_doorbell() {
  void* memory = ::mmap(nullptr, sizeof(ringside::bench::FutexPage), PROT_READ | PROT_WRITE, MAP_SHARED, kPeerFd, 0);
  if (memory == MAP_FAILED) return 1;
  auto& page = *static_cast<ringside::bench::FutexPage*>(memory);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, kPeerSecondFd, &event) != 0) return 1;
  for (std::uint32_t seen = 0;;) {
    const std::uint32_t asked = page.ping.load(std::memory_order_acquire);
    if (asked == seen) {
      ::epoll_wait(epoll, &event, 1, -1);
      continue;
    }
    seen = asked;
    page.pong.store(seen, std::memory_order_release);
    ringside::bench::futex_wake(page.pong);
  }
}

/// Echoes messages: an 8-byte length, then that many bytes.
int serve_socket(bool spin) {
  std::vector<char> body;
  while (true) {
    std::uint64_t length = 0;
    if (!ringside::bench::receive_all(kPeerFd, reinterpret_cast<char*>(&length), sizeof length, spin)) return 0;
    body.resize(length + sizeof length);
    std::memcpy(body.data(), &length, sizeof length);
    if (!ringside::bench::receive_all(kPeerFd, body.data() + sizeof length, length, spin)) return 0;
    if (!ringside::bench::send_all(kPeerFd, body.data(), body.size())) return 0;
  }
}

class Echo final : public contract::McpRuntime::CallbackService {
  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext* context, const contract::McpRequest* request,
                                   contract::McpResponse* response) override {
    response->set_status(200);
    response->mutable_body()->swap(*const_cast<contract::McpRequest*>(request)->mutable_body());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int serve_grpc() {
  Echo echo;
  grpc::ServerBuilder builder;
  builder.RegisterService(&echo);
  builder.SetMaxReceiveMessageSize(-1);
  auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  const auto server = builder.BuildAndStart();
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.fd = kPeerFd;
  acceptor->HandleNewConnection(&connection);
  server->Wait();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string_view mode = argc == 2 ? argv[1] : "";
  if (mode == "eventfd") return serve_eventfd();
  if (mode == "futex") return serve_futex();
  if (mode == "doorbell") return serve_doorbell();
  if (mode == "socket") return serve_socket(false);
  if (mode == "socket_spin") return serve_socket(true);
  if (mode == "grpc") return serve_grpc();
  return 2;
}
