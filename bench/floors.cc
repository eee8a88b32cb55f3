#include "bench/floors.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"
#include "bench/peer.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "rpc/channel.h"
#include "tests/support/process.h"

namespace ringside::bench {
namespace {

/// A running bench_peer, killed when it goes away.
class Peer {
 public:
  Peer(const char* mode, int first_fd, int second_fd = -1) {
    std::string path = test::program("bench_peer");
    std::string argument = mode;
    char* argv[] = {path.data(), argument.data(), nullptr};
    posix_spawn_file_actions_t actions{};
    ::posix_spawn_file_actions_init(&actions);
    // Through high numbers first: what is given may itself be descriptor 3 or 4.
    if (second_fd >= 0) ::posix_spawn_file_actions_adddup2(&actions, second_fd, kPeerSecondFd + 60);
    ::posix_spawn_file_actions_adddup2(&actions, first_fd, kPeerFd + 60);
    ::posix_spawn_file_actions_adddup2(&actions, kPeerFd + 60, kPeerFd);
    if (second_fd >= 0) ::posix_spawn_file_actions_adddup2(&actions, kPeerSecondFd + 60, kPeerSecondFd);
    const int failed = ::posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    RS_CHECK(failed == 0, "bench_peer is built");
  }
  ~Peer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

struct EventfdFloor {
  UniqueFd ping{::eventfd(0, EFD_CLOEXEC)};
  UniqueFd pong{::eventfd(0, EFD_CLOEXEC)};
  Peer peer{"eventfd", ping.get(), pong.get()};
};

struct FutexFloor {
  UniqueFd memory{::memfd_create("floor", MFD_CLOEXEC)};
  FutexPage* page = nullptr;
  std::unique_ptr<Peer> peer;
  std::uint32_t count = 0;

  FutexFloor() {
    RS_CHECK(::ftruncate(memory.get(), sizeof(FutexPage)) == 0, "a page can be had");
    void* mapped = ::mmap(nullptr, sizeof(FutexPage), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    RS_CHECK(mapped != MAP_FAILED, "a page can be mapped");
    page = static_cast<FutexPage*>(mapped);
    peer = std::make_unique<Peer>("futex", memory.get());
  }
  ~FutexFloor() { ::munmap(page, sizeof(FutexPage)); }
  FutexFloor(const FutexFloor&) = delete;
  FutexFloor& operator=(const FutexFloor&) = delete;
};

struct SocketFloor {
  UniqueFd near;
  std::unique_ptr<Peer> peer;
  std::vector<char> out;
  std::vector<char> in;

  explicit SocketFloor(std::size_t bytes) : out(bytes + sizeof(std::uint64_t), 'x'), in(bytes + sizeof(std::uint64_t)) {
    auto ends = socket_pair(SocketKind::kStream, true).value();
    constexpr int kBuffer = 4 << 20;
    for (const int fd : {ends.first.get(), ends.second.get()}) {
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kBuffer, sizeof kBuffer);
    }
    const auto length = static_cast<std::uint64_t>(bytes);
    std::memcpy(out.data(), &length, sizeof length);
    peer = std::make_unique<Peer>("socket", ends.second.get());
    near = std::move(ends.first);
  }
  void call() {
    for (std::size_t sent = 0; sent < out.size();) {
      const ssize_t some = ::send(near.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      RS_CHECK(some > 0, "the peer lives");
      sent += static_cast<std::size_t>(some);
    }
    RS_CHECK(::recv(near.get(), in.data(), in.size(), MSG_WAITALL) == static_cast<ssize_t>(in.size()),
             "the peer echoes");
  }
};

struct CopyFloor {
  std::vector<char> a, b;
  explicit CopyFloor(std::size_t bytes) : a(bytes, 'x'), b(bytes) {}
};

struct GrpcFloor {
  std::unique_ptr<Peer> peer;
  std::unique_ptr<contextforge::mcp::runtime::v1::McpRuntime::Stub> stub;
  contextforge::mcp::runtime::v1::McpRequest request;
  contextforge::mcp::runtime::v1::McpResponse response;

  explicit GrpcFloor(std::size_t bytes) {
    auto ends = socket_pair(SocketKind::kStream, false).value();
    peer = std::make_unique<Peer>("grpc", ends.second.get());
    stub = contextforge::mcp::runtime::v1::McpRuntime::NewStub(rpc::channel_on_fd(std::move(ends.first), -1));
    request.set_body(std::string(bytes, 'x'));
  }
  void call() {
    grpc::ClientContext context;
    RS_CHECK(stub->Invoke(&context, request, &response).ok(), "the plain gRPC echo answers");
  }
};

}  // namespace

Floor eventfd_ping_pong() {
  auto floor = std::make_shared<EventfdFloor>();
  return {{"eventfd ping-pong",
           {},
           [floor] {
             eventfd_t value = 0;
             ::eventfd_write(floor->ping.get(), 1);
             ::eventfd_read(floor->pong.get(), &value);
           },
           {},
           {}},
          floor,
          floor->peer.pid()};
}

Floor futex_ping_pong() {
  auto floor = std::make_shared<FutexFloor>();
  return {{"futex ping-pong",
           {},
           [floor] {
             floor->page->ping.store(floor->count + 1, std::memory_order_release);
             futex_wake(floor->page->ping);
             futex_wait_change(floor->page->pong, floor->count++);
           },
           {},
           {}},
          floor,
          floor->peer->pid()};
}

Floor raw_socket_echo(std::size_t bytes) {
  auto floor = std::make_shared<SocketFloor>(bytes);
  return {{"raw socket echo", {}, [floor] { floor->call(); }, [floor] { return floor->in == floor->out; }, {}},
          floor,
          floor->peer->pid()};
}

Floor four_copies(std::size_t bytes) {
  auto floor = std::make_shared<CopyFloor>(bytes);
  return {{"memcpy x 4",
           {},
           [floor] {
             for (int i = 0; i < 2; ++i) {
               std::memcpy(floor->b.data(), floor->a.data(), floor->a.size());
               std::memcpy(floor->a.data(), floor->b.data(), floor->b.size());
             }
           },
           {},
           {}},
          floor,
          0};
}

Floor plain_grpc_echo(std::size_t bytes) {
  auto floor = std::make_shared<GrpcFloor>(bytes);
  return {{"plain gRPC echo",
           {},
           [floor] { floor->call(); },
           [floor] { return floor->response.body() == floor->request.body(); },
           {}},
          floor,
          floor->peer->pid()};
}

}  // namespace ringside::bench
