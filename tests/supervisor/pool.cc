#include "tests/supervisor/pool.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"

namespace ringside::test {
namespace {

constexpr int kMessageBytes = 4 << 20;

void set_deadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
}

std::optional<control::v1::StatusResponse> ask(const std::string& path) {
  const auto stub = control::v1::Control::NewStub(rpc::channel_to_path(path, kMessageBytes));
  grpc::ClientContext context;
  set_deadline(context);
  control::v1::StatusResponse response;
  if (!stub->Status(&context, {}, &response).ok()) return std::nullopt;
  return response;
}

}  // namespace

Peer Peer::to(const std::string& path, SocketKind kind) {
  auto fd = connect_to(path, kind);
  EXPECT_TRUE(fd.ok()) << path;
  return Peer(fd.ok() ? std::move(fd).value() : UniqueFd());
}

Peer Peer::to_as(const std::string& path, uid_t uid, gid_t gid) {
  EXPECT_EQ(::geteuid(), 0U) << "this test changes its user: run it as root";
  UniqueFd connected;
  // The raw system calls change this thread alone, and the kernel notes the credentials of the thread that connects.
  std::thread([&] {
    const bool changed = ::syscall(SYS_setgroups, 0, nullptr) == 0 && ::syscall(SYS_setresgid, gid, gid, gid) == 0 &&
                         ::syscall(SYS_setresuid, uid, uid, uid) == 0;
    EXPECT_TRUE(changed);
    auto fd = connect_to(path, SocketKind::kStream);
    EXPECT_TRUE(fd.ok()) << path;
    if (fd.ok()) connected = std::move(fd).value();
  }).join();
  return Peer(std::move(connected));
}

void Peer::say(const std::string& text) const {
  EXPECT_EQ(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

bool Peer::readable(std::chrono::milliseconds within) const {
  pollfd watched{fd_.get(), POLLIN, 0};
  return ::poll(&watched, 1, static_cast<int>(within.count())) == 1;
}

std::optional<std::string> Peer::line(std::chrono::milliseconds within) {
  while (true) {
    const std::size_t end = input_.find('\n');
    if (end != std::string::npos) {
      std::string line = input_.substr(0, end);
      input_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> bytes{};
    if (!readable(within)) return std::nullopt;
    const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (size <= 0) return std::nullopt;
    input_.append(bytes.data(), static_cast<std::size_t>(size));
  }
}

std::string Peer::rest() {
  std::array<char, 4096> bytes{};
  while (readable(std::chrono::seconds(20))) {
    const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (size <= 0) return std::exchange(input_, {});
    input_.append(bytes.data(), static_cast<std::size_t>(size));
  }
  ADD_FAILURE() << "the connection did not end";
  return std::exchange(input_, {});
}

int number_in(const std::string& line, const std::string& key) {
  const std::size_t at = line.find(key + "=");
  EXPECT_NE(at, std::string::npos) << key << " in: " << line;
  return at == std::string::npos ? -1 : std::stoi(line.substr(at + key.size() + 1));
}

Pool::Pool(const PoolOptions& options) : workers_(options.workers) {
  write_file(folder_.file("ringside.json"), options.config);
  auto environment = options.environment;
  environment.push_back("RINGSIDE_FAKE_WORKER=" + options.orders);
  auto process =
      as_systemd({program("ringsided"), "--config", folder_.file("ringside.json"), "--runtime-dir", dir(), "--workers",
                  std::to_string(options.workers), "--worker-program", program("supervisor_fake_worker")},
                 std::move(environment), options.handed_over);
  process.stderr_path = folder_.file("log");
  supervisor_ = std::make_unique<Process>(process);
  const bool answers = eventually(
      [&] { return std::filesystem::exists(socket("control.sock")) && ask(socket("control.sock")).has_value(); });
  EXPECT_TRUE(answers) << log();
}

Pool::~Pool() {
  if (supervisor_->wait(std::chrono::milliseconds(0)) < 0) supervisor_->signal(SIGTERM);
  EXPECT_GE(supervisor_->wait(), 0);
  if (testing::Test::HasFailure()) std::fprintf(stderr, "the log of ringsided:\n%s\n", log().c_str());
}

control::v1::StatusResponse Pool::status() const { return status_at(socket("control.sock")); }

std::string Pool::health(const std::string& service) const {
  const auto stub = grpc::health::v1::Health::NewStub(rpc::channel_to_path(socket("control.sock"), kMessageBytes));
  grpc::ClientContext context;
  set_deadline(context);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const auto status = stub->Check(&context, request, &response);
  if (!status.ok()) return status.error_code() == grpc::StatusCode::NOT_FOUND ? "unknown" : status.error_message();
  return grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status());
}

void Pool::wait_ready() const {
  EXPECT_TRUE(eventually([&] {
    int ready = 0;
    const auto now = status();
    for (const auto& worker : now.workers()) ready += worker.state() == control::v1::Worker::STATE_READY ? 1 : 0;
    return ready == workers_;
  })) << "not every worker became ready";
}

void Pool::wait_for_log(const std::string& text) const {
  EXPECT_TRUE(eventually([&] { return log().find(text) != std::string::npos; })) << "not in the log: " << text;
}

std::vector<pid_t> Pool::pids() const {
  std::vector<pid_t> pids;
  const auto now = status();
  for (const auto& worker : now.workers()) pids.push_back(worker.pid());
  return pids;
}

int Pool::stop() {
  supervisor_->signal(SIGTERM);
  return supervisor_->wait();
}

control::v1::StatusResponse status_at(const std::string& control_socket) {
  const auto status = ask(control_socket);
  EXPECT_TRUE(status.has_value()) << "nobody answers at " << control_socket;
  return status.value_or(control::v1::StatusResponse());
}

void connect_to_path(int socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

ProcessOptions as_systemd(std::vector<std::string> argv, std::vector<std::string> environment,
                          const std::vector<HandedOver>& handed_over) {
  ProcessOptions options;
  if (!handed_over.empty()) {
    std::string names;
    for (const auto& [name, fd] : handed_over) {
      names += (names.empty() ? "" : ":") + name;
      options.descriptors.push_back(fd);
    }
    environment.push_back("LISTEN_FDS=" + std::to_string(handed_over.size()));
    environment.push_back("LISTEN_FDNAMES=" + names);
    // The shell's pid stays when it becomes the program.
    const std::vector<std::string> shell{"/bin/sh", "-c", R"(LISTEN_PID=$$ exec "$@")", "sh"};
    argv.insert(argv.begin(), shell.begin(), shell.end());
  }
  options.argv = std::move(argv);
  options.environment = std::move(environment);
  return options;
}

Finished start_badly(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                     const std::vector<HandedOver>& handed_over) {
  std::vector<std::string> argv{program("ringsided"), "--worker-program", program("supervisor_fake_worker")};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(as_systemd(std::move(argv), environment, handed_over));
}

}  // namespace ringside::test
