#include "tests/support/house.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>

#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"

namespace ringside::test {
namespace {

constexpr int kControlMessageBytes = 4 << 20;

std::optional<control::v1::StatusResponse> ask(const std::string& control_socket) {
  const auto stub = control::v1::Control::NewStub(rpc::channel_to_path(control_socket, kControlMessageBytes));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  control::v1::StatusResponse response;
  if (!stub->Status(&context, {}, &response).ok()) return std::nullopt;
  return response;
}

bool is_alive(pid_t pid) { return std::filesystem::exists("/proc/" + std::to_string(pid)); }

}  // namespace

House::House(HouseOptions options)
    : dir_(folder_.file("run")), workers_(options.workers), environment_(std::move(options.environment)) {
  write_file(folder_.file("ringside.json"), options.config);
  start();
}

void House::start() {
  supervisor_ =
      std::make_unique<Process>(ProcessOptions{.argv = {program("ringsided"), "--config", folder_.file("ringside.json"),
                                                        "--runtime-dir", dir_, "--workers", std::to_string(workers_)},
                                               .environment = environment_,
                                               .stderr_path = folder_.file("log")});
  const bool ready = eventually([&] { return supervisor_->wait(std::chrono::milliseconds(0)) >= 0 || all_ready(); });
  if (!ready || !all_ready()) ADD_FAILURE() << "ringsided did not become ready:\n" << log();
}

void House::kill_supervisor() {
  supervisor_->signal(SIGKILL);
  supervisor_->wait();
  start();
}

House::~House() {
  const auto workers = worker_pids();
  supervisor_->signal(SIGTERM);
  const int code = supervisor_->wait();
  EXPECT_EQ(code, 0) << log();
  for (const pid_t worker : workers) EXPECT_FALSE(is_alive(worker)) << "worker " << worker << " was left behind";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir_, error)) {
    EXPECT_FALSE(entry.is_socket()) << entry.path() << " was left behind";
  }
  if (testing::Test::HasFailure()) std::fprintf(stderr, "the log of ringsided:\n%s\n", log().c_str());
}

control::v1::StatusResponse House::status() const {
  auto status = ask(socket("control.sock"));
  EXPECT_TRUE(status.has_value()) << "nobody answers on control.sock:\n" << log();
  return status.value_or(control::v1::StatusResponse());
}

std::vector<pid_t> House::worker_pids() const {
  std::vector<pid_t> pids;
  const auto now = status();
  for (const auto& worker : now.workers()) {
    if (worker.state() == control::v1::Worker::STATE_READY) pids.push_back(worker.pid());
  }
  return pids;
}

bool House::all_ready() const {
  if (!std::filesystem::exists(socket("control.sock"))) return false;
  const auto status = ask(socket("control.sock"));
  if (!status) return false;
  int ready = 0;
  for (const auto& worker : status->workers()) ready += worker.state() == control::v1::Worker::STATE_READY ? 1 : 0;
  return ready == workers_;
}

void House::kill_worker(pid_t pid) const {
  ::kill(pid, SIGKILL);
  const bool replaced = eventually([&] {
    const auto pids = worker_pids();
    return static_cast<int>(pids.size()) == workers_ && std::find(pids.begin(), pids.end(), pid) == pids.end();
  });
  EXPECT_TRUE(replaced) << "worker " << pid << " was not replaced:\n" << log();
}

ClientOptions House::client_options(DoorChoice door) const {
  ClientOptions options;
  options.runtime_dir = dir_;
  options.door = door;
  options.client_name = "test";
  return options;
}

std::shared_ptr<Client> House::client(DoorChoice door) const {
  auto client = Client::connect(client_options(door));
  if (!client.ok()) {
    ADD_FAILURE() << "no connection by door " << to_string(door) << ": " << client.error().message << "\n" << log();
    return nullptr;
  }
  return std::move(client).value();
}

Request post(std::string body, std::string session_id) {
  Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.headers.set("content-type", "application/json");
  request.headers.set("accept", "application/json, text/event-stream");
  request.body = std::move(body);
  request.session_id = std::move(session_id);
  return request;
}

std::string open_session(Client& client) {
  const auto answer = client.call(post(
      R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},)"
      R"("clientInfo":{"name":"test","version":"1"}}})"));
  if (!answer.ok()) {
    ADD_FAILURE() << "initialize was not answered: " << answer.error().message;
    return {};
  }
  std::string session(answer->headers.get("mcp-session-id"));
  EXPECT_FALSE(session.empty()) << answer->body;
  const auto accepted = client.call(post(R"({"jsonrpc":"2.0","method":"notifications/initialized"})", session));
  EXPECT_TRUE(accepted.ok() && accepted->status == 202);
  return session;
}

}  // namespace ringside::test
