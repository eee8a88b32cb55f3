#include "bench/echo_floors.h"

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"
#include "bench/exchanges.h"
#include "bench/peer.h"
#include "bench/peer_process.h"
#include "bench/window.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "rpc/channel.h"

namespace ringside::bench {
namespace {

namespace contract = contextforge::mcp::runtime::v1;

class SocketFloor {
 public:
  SocketFloor(std::size_t bytes, bool spin) : spin_(spin), in_(bytes + sizeof(std::uint64_t), '\0') {
    for (const Exchange& exchange : exchanges(Work::kTransportEcho, bytes)) {
      const std::uint64_t length = bytes;
      std::string message(sizeof length, '\0');
      std::memcpy(message.data(), &length, sizeof length);
      messages_.push_back(message + exchange.request);
    }
    auto ends = socket_pair(SocketKind::kStream, true).value();
    constexpr int kBuffer = 4 << 20;
    for (const int fd : {ends.first.get(), ends.second.get()}) {
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kBuffer, sizeof kBuffer);
    }
    peer_ = std::make_unique<PeerProcess>(spin ? "socket_spin" : "socket", ends.second.get());
    near_ = std::move(ends.first);
  }

  void send_next() {
    const std::string& out = messages_[sent_++ % messages_.size()];
    RS_CHECK(send_all(near_.get(), out.data(), out.size()), "the peer lives");
  }
  void receive_next() {
    RS_CHECK(receive_all(near_.get(), in_.data(), in_.size(), spin_), "the peer echoes");
    ++received_;
  }
  /// Whether what came last is what it must be.
  [[nodiscard]] bool right() const { return in_ == messages_[(received_ - 1) % messages_.size()]; }
  [[nodiscard]] pid_t pid() const { return peer_->pid(); }

 private:
  const bool spin_;
  UniqueFd near_;
  std::unique_ptr<PeerProcess> peer_;
  std::vector<std::string> messages_;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  std::string in_;
};

struct GrpcFloor {
  std::unique_ptr<PeerProcess> peer;
  std::unique_ptr<contract::McpRuntime::Stub> stub;
  std::vector<Exchange> bodies;
  std::size_t next = 0;
  contract::McpRequest request;
  contract::McpResponse response;

  explicit GrpcFloor(std::size_t bytes) : bodies(exchanges(Work::kTransportEcho, bytes)) {
    auto ends = socket_pair(SocketKind::kStream, false).value();
    peer = std::make_unique<PeerProcess>("grpc", ends.second.get());
    stub = contract::McpRuntime::NewStub(rpc::channel_on_fd(std::move(ends.first), -1));
  }
  void call() {
    grpc::ClientContext context;
    RS_CHECK(stub->Invoke(&context, request, &response).ok(), "the plain gRPC echo answers");
  }
};

struct PlainCall {
  grpc::ClientContext context;
  contract::McpRequest request;
  contract::McpResponse response;
};

}  // namespace

Contestant raw_socket_echo(std::size_t bytes, bool spin) {
  auto floor = std::make_shared<SocketFloor>(bytes, spin);
  return {.name = spin ? "raw socket, spinning" : "raw socket echo",
          .call =
              [floor] {
                floor->send_next();
                floor->receive_next();
              },
          .check = [floor] { return floor->right(); },
          .peers = {floor->pid()}};
}

Contestant raw_socket_window(std::size_t bytes, std::size_t window, std::size_t batch) {
  auto floor = std::make_shared<SocketFloor>(bytes, false);
  const auto run = [floor, window, batch] {
    for (std::size_t i = 0; i < std::min(window, batch); ++i) floor->send_next();
    for (std::size_t i = 0; i < batch; ++i) {
      floor->receive_next();
      RS_CHECK(floor->right(), "a raw socket changes nothing");
      if (i + window < batch) floor->send_next();
    }
  };
  return {.name = "raw socket, window " + std::to_string(window), .call = run, .peers = {floor->pid()}, .batch = batch};
}

Contestant plain_grpc_echo(std::size_t bytes) {
  auto floor = std::make_shared<GrpcFloor>(bytes);
  return {.name = "plain gRPC echo",
          .prepare = [floor] { floor->request.set_body(floor->bodies[++floor->next % floor->bodies.size()].request); },
          .call = [floor] { floor->call(); },
          .check = [floor] { return floor->response.body() == floor->request.body(); },
          .peers = {floor->peer->pid()}};
}

Contestant plain_grpc_window(std::size_t bytes, std::size_t window, std::size_t batch) {
  auto floor = std::make_shared<GrpcFloor>(bytes);
  const auto start = [floor](auto& calls, std::size_t index) {
    auto call = std::make_shared<PlainCall>();
    call->request.set_body(floor->bodies[index % floor->bodies.size()].request);
    floor->stub->async()->Invoke(&call->context, &call->request, &call->response,
                                 [&calls, call](const grpc::Status& status) {
                                   calls.finished(status.ok() && call->response.body() == call->request.body());
                                 });
  };
  auto calls = std::make_shared<Window<decltype(start)>>(window, batch, start);
  return {.name = "plain gRPC, window " + std::to_string(window),
          .call = [calls] { calls->run(); },
          .check = [calls] { return calls->all_right(); },
          .peers = {floor->peer->pid()},
          .batch = batch};
}

}  // namespace ringside::bench
