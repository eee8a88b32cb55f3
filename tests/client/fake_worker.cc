#include "tests/client/fake_worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <deque>
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

class StreamReactor final : public grpc::ServerWriteReactor<rpc::contract::McpChunk>, public Streamed {
 public:
  explicit StreamReactor(std::atomic<int>& cancelled) : cancelled_(cancelled) {}
  static StreamReactor* start(const std::shared_ptr<StreamReactor>& self) {
    self->self_ = self;
    return self.get();
  }
  void write(rpc::contract::McpChunk chunk) override {
    const std::lock_guard lock(mutex_);
    chunks_.push_back(std::move(chunk));
    go_on();
  }
  void finish(grpc::Status status) override {
    const std::lock_guard lock(mutex_);
    if (!end_) end_ = std::move(status);
    go_on();
  }
  [[nodiscard]] int written() const override { return written_; }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    written_ += ok ? 1 : 0;
    writing_ = false;
    chunks_.pop_front();
    go_on();
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    ++cancelled_;
    end_ = grpc::Status::CANCELLED;
    go_on();
  }
  void OnDone() override { self_.reset(); }

 private:
  void go_on() {
    if (writing_ || finished_) return;
    if (end_ && (chunks_.empty() || end_->error_code() == grpc::StatusCode::CANCELLED)) {
      finished_ = true;
      return Finish(*end_);
    }
    if (chunks_.empty()) return;
    writing_ = true;
    StartWrite(&chunks_.front());
  }

  std::atomic<int>& cancelled_;
  std::atomic<int> written_{0};
  std::mutex mutex_;
  std::deque<rpc::contract::McpChunk> chunks_;
  std::optional<grpc::Status> end_;
  bool writing_ = false;
  bool finished_ = false;
  std::shared_ptr<StreamReactor> self_;
};

}  // namespace

rpc::contract::McpChunk chunk_of(std::string data, int status, const std::string& content_type) {
  rpc::contract::McpChunk chunk;
  chunk.set_data(std::move(data));
  chunk.set_status(status);
  if (!content_type.empty()) (*chunk.mutable_headers())["content-type"] = content_type;
  return chunk;
}

rpc::contract::McpChunk last_chunk(std::string data, int error_status) {
  auto chunk = chunk_of(std::move(data));
  chunk.set_done(true);
  chunk.set_error_status(error_status);
  return chunk;
}

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
  grpc::ServerWriteReactor<rpc::contract::McpChunk>* InvokeStream(grpc::CallbackServerContext*,
                                                                  const rpc::contract::McpRequest* request) override {
    ++worker_.calls_;
    {
      const std::lock_guard lock(worker_.mutex_);
      worker_.rpcs_.emplace_back("InvokeStream");
    }
    const auto reactor = std::make_shared<StreamReactor>(worker_.cancelled_);
    auto* const started = StreamReactor::start(reactor);
    if (worker_.streaming_) {
      worker_.streaming_(rpc::to_request(rpc::contract::McpRequest(*request), "GET"), reactor);
    } else {
      reactor->finish({grpc::StatusCode::UNIMPLEMENTED, "no streams"});
    }
    return started;
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
