#pragma once
// A worker for tests: the contract, health and control over gRPC on a socket of a temporary folder, answered by a
// function.

#include <grpcpp/server.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "mcp/message.h"
#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/convert.h"

namespace ringside::test {

/// The answer, or nothing: the call is left hanging until its caller gives up or the worker dies.
using Answering = std::function<std::optional<mcp::Response>(mcp::Request)>;

/// Answers 200 with the request's own body.
std::optional<mcp::Response> echo(mcp::Request request);
mcp::Response json(int status, std::string body);

/// One InvokeStream under way. Thread-safe.
class Streamed {
 public:
  virtual ~Streamed() = default;
  /// Goes out as the client reads.
  virtual void write(rpc::contract::McpChunk chunk) = 0;
  virtual void finish(grpc::Status status) = 0;
  /// How many chunks have gone.
  [[nodiscard]] virtual int written() const = 0;
};
using Streaming = std::function<void(mcp::Request, std::shared_ptr<Streamed>)>;

/// A chunk of the contract as it is now; without a status, as it was.
rpc::contract::McpChunk chunk_of(std::string data, int status = 0, const std::string& content_type = {});
rpc::contract::McpChunk last_chunk(std::string data = {}, int error_status = 0);

class FakeWorker {
 public:
  FakeWorker(const std::string& socket, Answering answering, int max_message_bytes = 128 << 20);
  /// Dies: connections break with what is under way, the socket's file stays.
  ~FakeWorker();
  FakeWorker(const FakeWorker&) = delete;
  FakeWorker& operator=(const FakeWorker&) = delete;

  void set_health(grpc::health::v1::HealthCheckResponse::ServingStatus status) { health_ = status; }
  void set_status(const control::v1::StatusResponse& status) { status_ = status; }

  /// What becomes of an InvokeStream; without it there is none. Before the first.
  void set_streaming(Streaming streaming) { streaming_ = std::move(streaming); }

  [[nodiscard]] int accepted() const { return accepted_; }
  [[nodiscard]] int calls() const { return calls_; }
  [[nodiscard]] int cancelled() const { return cancelled_; }
  /// The RPCs in the order they came: Invoke or CloseSession.
  [[nodiscard]] std::vector<std::string> rpcs() const;

 private:
  class Runtime;
  class Health;
  class Control;

  void accept_all();

  Answering answering_;
  Streaming streaming_;
  std::atomic<int> accepted_{0};
  std::atomic<int> calls_{0};
  std::atomic<int> cancelled_{0};
  std::atomic<grpc::health::v1::HealthCheckResponse::ServingStatus> health_{
      grpc::health::v1::HealthCheckResponse::SERVING};
  control::v1::StatusResponse status_;
  mutable std::mutex mutex_;
  std::vector<std::string> rpcs_;
  std::vector<UniqueFd> connections_;

  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<rpc::Acceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  UniqueFd listener_;
  std::thread thread_;
};

}  // namespace ringside::test
