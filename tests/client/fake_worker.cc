#include "tests/client/fake_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "base/unix_socket.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "rpc/convert.h"

namespace ringside::test {

std::optional<mcp::Response> echo(mcp::Request request) { return json(200, std::move(request.body)); }

mcp::Response json(int status, std::string body) {
  mcp::Response response;
  response.status = status;
  response.headers.set("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

namespace {

/// Ends a call at most once: with its answer, or when its caller gives up.
class Reactor final : public grpc::ServerUnaryReactor {
 public:
  explicit Reactor(std::atomic<int>& cancelled) : cancelled_(cancelled) {}
  void answer(const grpc::Status& status) {
    if (!ended_.exchange(true)) Finish(status);
  }
  void OnCancel() override {
    if (ended_.exchange(true)) return;
    ++cancelled_;
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  std::atomic<int>& cancelled_;
  std::atomic<bool> ended_{false};
};

}  // namespace

class FakeWorker::Runtime final : public rpc::contract::McpRuntime::CallbackService {
 public:
  explicit Runtime(FakeWorker& worker) : worker_(worker) {}
  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext*, const rpc::contract::McpRequest* request,
                                   rpc::contract::McpResponse* response) override {
    return serve("Invoke", "POST", *request, *response);
  }
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext*, const rpc::contract::McpRequest* request,
                                         rpc::contract::McpResponse* response) override {
    return serve("CloseSession", "DELETE", *request, *response);
  }

 private:
  grpc::ServerUnaryReactor* serve(const char* rpc, const char* method, rpc::contract::McpRequest request,
                                  rpc::contract::McpResponse& response) {
    ++worker_.calls_;
    {
      const std::lock_guard lock(worker_.mutex_);
      worker_.rpcs_.emplace_back(rpc);
    }
    auto* reactor = new Reactor(worker_.cancelled_);
    if (auto answer = worker_.answering_(rpc::to_request(std::move(request), method))) {
      rpc::fill_head(*answer, response);
      response.set_body(std::move(answer->body));
      reactor->answer(grpc::Status::OK);
    }
    return reactor;
  }

  FakeWorker& worker_;
};

class FakeWorker::Health final : public grpc::health::v1::Health::CallbackService {
 public:
  explicit Health(FakeWorker& worker) : worker_(worker) {}
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override {
    auto* reactor = context->DefaultReactor();
    response->set_status(worker_.health_);
    reactor->Finish(request->service() == "nothing" ? grpc::Status(grpc::StatusCode::NOT_FOUND, "unknown service")
                                                    : grpc::Status::OK);
    return reactor;
  }

 private:
  FakeWorker& worker_;
};

class FakeWorker::Control final : public control::v1::Control::CallbackService {
 public:
  explicit Control(FakeWorker& worker) : worker_(worker) {}
  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context, const control::v1::StatusRequest*,
                                   control::v1::StatusResponse* response) override {
    *response = worker_.status_;
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  FakeWorker& worker_;
};

FakeWorker::FakeWorker(const std::string& socket, Answering answering, int max_message_bytes)
    : answering_(std::move(answering)) {
  services_.push_back(std::make_unique<Runtime>(*this));
  services_.push_back(std::make_unique<Health>(*this));
  services_.push_back(std::make_unique<Control>(*this));
  grpc::ServerBuilder builder;
  acceptor_ = std::make_unique<rpc::Acceptor>(builder);
  for (const auto& service : services_) builder.RegisterService(service.get());
  builder.SetMaxReceiveMessageSize(max_message_bytes);
  builder.SetMaxSendMessageSize(-1);
  server_ = builder.BuildAndStart();
  listener_ = listen_at(socket, SocketKind::kStream).value();
  thread_ = std::thread([this] { accept_all(); });
}

FakeWorker::~FakeWorker() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
  listener_.reset();
  acceptor_->close();
  for (const auto& connection : connections_) ::shutdown(connection.get(), SHUT_RDWR);
  server_->Shutdown(std::chrono::system_clock::now());
}

std::vector<std::string> FakeWorker::rpcs() const {
  const std::lock_guard lock(mutex_);
  return rpcs_;
}

void FakeWorker::accept_all() {
  pollfd entry{listener_.get(), POLLIN, 0};
  while (::poll(&entry, 1, -1) == 1) {
    UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!connection) return;
    ++accepted_;
    connections_.emplace_back(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    acceptor_->adopt(std::move(connection));
  }
}

}  // namespace ringside::test
