#pragma once
// gRPC channels and servers on descriptors. gRPC 1.51 must never be given a path to listen on: it unlinks and re-binds
// it.

#include <grpcpp/channel.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "rpc/mutual_tls.h"

namespace ringside::rpc {

/// A channel to a Unix socket's path, with a connection of its own (no shared subchannel), quick reconnects (20 ms), no
/// compression, no proxy, and messages up to `max_message_bytes`. A connection may wait long for a worker to take it.
std::shared_ptr<grpc::Channel> channel_to_path(const std::string& path, int max_message_bytes);
/// A channel over a connected stream socket. It lives as long as the connection; after that every call is UNAVAILABLE.
std::shared_ptr<grpc::Channel> channel_on_fd(UniqueFd connection, int max_message_bytes);

/// Gives connections that somebody else accepted to a gRPC server.
class Acceptor {
 public:
  /// Call before BuildAndStart(). With `tls` every connection must begin with it.
  explicit Acceptor(grpc::ServerBuilder& builder, const std::optional<MutualTls>& tls = std::nullopt);
  /// Serves a connected, non-blocking stream socket, once the server has been built and started. Closed at once after
  /// close(). Any thread.
  void adopt(UniqueFd connection);
  /// Takes no more connections: gRPC leaks those that come after Shutdown, so call this first. Any thread.
  void close();

 private:
  std::mutex mutex_;
  bool closed_ = false;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
};

}  // namespace ringside::rpc
