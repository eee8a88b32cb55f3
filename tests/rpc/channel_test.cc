#include "rpc/channel.h"

#include <fcntl.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/unix_socket.h"
#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "tests/support/process.h"

namespace ringside::rpc {
namespace {

namespace contract = ::contextforge::mcp::runtime::v1;

constexpr int kLimit = 8 << 20;

/// Answers a POST with its own body and with how its bytes came.
class Echo final : public contract::McpRuntime::CallbackService {
 public:
  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext* context, const contract::McpRequest* request,
                                   contract::McpResponse* response) override {
    response->set_status(200);
    response->set_body(request->body());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

/// A gRPC server without any port.
class EchoServer {
 public:
  EchoServer() : acceptor_(builder_) {
    builder_.RegisterService(&echo_);
    builder_.SetMaxReceiveMessageSize(kLimit);
    server_ = builder_.BuildAndStart();
  }
  ~EchoServer() {
    acceptor_.close();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  }
  Acceptor& acceptor() { return acceptor_; }

 private:
  Echo echo_;
  grpc::ServerBuilder builder_;
  Acceptor acceptor_;
  std::unique_ptr<grpc::Server> server_;
};

/// Hands what connects to a path to whoever is asked, as the supervisor does.
class Doorman {
 public:
  Doorman(const std::string& path, Acceptor& acceptor) : listener_(listen_at(path, SocketKind::kStream).value()) {
    thread_ = std::thread([this, &acceptor] {
      pollfd entry{listener_.get(), POLLIN, 0};
      while (::poll(&entry, 1, -1) == 1) {
        UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!connection) return;
        ++accepted_;
        acceptor.adopt(std::move(connection));
      }
    });
  }
  ~Doorman() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  UniqueFd listener_;
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

grpc::Status say(const std::shared_ptr<grpc::Channel>& channel, const std::string& body, std::string& answer) {
  contract::McpRequest request;
  request.set_body(body);
  contract::McpResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  const auto status = contract::McpRuntime::NewStub(channel)->Invoke(&context, request, &response);
  answer = response.body();
  return status;
}

std::string echoed(const std::shared_ptr<grpc::Channel>& channel, const std::string& body) {
  std::string answer;
  const auto status = say(channel, body, answer);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return answer;
}

TEST(Channel, a_connection_that_somebody_accepted_is_served) {
  const test::TempDir folder;
  EchoServer server;
  const Doorman doorman(folder.file("s"), server.acceptor());
  EXPECT_EQ(echoed(channel_to_path(folder.file("s"), kLimit), "hello"), "hello");
}

TEST(Channel, a_path_may_hold_what_a_uri_may_not) {
  const test::TempDir folder;
  EchoServer server;
  const std::string path = folder.file("a b%41?#\xC3\xA9");
  const Doorman doorman(path, server.acceptor());
  EXPECT_EQ(echoed(channel_to_path(path, kLimit), "hello"), "hello");
}

TEST(Channel, each_channel_has_a_connection_of_its_own) {
  const test::TempDir folder;
  EchoServer server;
  const Doorman doorman(folder.file("s"), server.acceptor());
  const auto one = channel_to_path(folder.file("s"), kLimit);
  const auto two = channel_to_path(folder.file("s"), kLimit);
  EXPECT_EQ(echoed(one, "1"), "1");
  EXPECT_EQ(echoed(two, "2"), "2");
  EXPECT_EQ(doorman.accepted(), 2);
}

TEST(Channel, the_path_is_neither_unlinked_nor_bound_again) {
  const test::TempDir folder;
  EchoServer server;
  const Doorman doorman(folder.file("s"), server.acceptor());
  struct stat before {};
  struct stat after {};
  ASSERT_EQ(::stat(folder.file("s").c_str(), &before), 0);
  EXPECT_EQ(echoed(channel_to_path(folder.file("s"), kLimit), "x"), "x");
  ASSERT_EQ(::stat(folder.file("s").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST(Channel, one_end_of_a_socketpair_is_a_channel_and_the_other_is_served) {
  EchoServer server;
  auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
  server.acceptor().adopt(std::move(theirs));
  const auto channel = channel_on_fd(std::move(ours), kLimit);
  EXPECT_EQ(echoed(channel, std::string(5 << 20, 'x')).size(), 5U << 20U) << "over gRPC's own limit of 4 MiB";
}

TEST(Channel, a_blocking_descriptor_does_as_well) {
  EchoServer server;
  auto [ours, theirs] = socket_pair(SocketKind::kStream, true).value();
  ASSERT_EQ(::fcntl(theirs.get(), F_SETFL, O_NONBLOCK), 0);
  server.acceptor().adopt(std::move(theirs));
  EXPECT_EQ(echoed(channel_on_fd(std::move(ours), kLimit), "x"), "x");
}

TEST(Channel, a_channel_on_a_descriptor_ends_with_its_connection) {
  auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
  const auto channel = channel_on_fd(std::move(ours), kLimit);
  theirs.reset();
  std::string answer;
  EXPECT_EQ(say(channel, "x", answer).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(Channel, a_message_over_the_limit_is_refused) {
  EchoServer server;
  auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
  server.acceptor().adopt(std::move(theirs));
  std::string answer;
  const auto channel = channel_on_fd(std::move(ours), kLimit);
  EXPECT_EQ(say(channel, std::string(kLimit + 1, 'x'), answer).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(echoed(channel, "and the channel lives on"), "and the channel lives on");
}

TEST(Channel, nobody_at_the_path_is_told_at_once) {
  const test::TempDir folder;
  const auto channel = channel_to_path(folder.file("nobody"), kLimit);
  const auto start = std::chrono::steady_clock::now();
  std::string answer;
  EXPECT_EQ(say(channel, "x", answer).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Channel, a_server_that_comes_back_is_found_again) {
  const test::TempDir folder;
  const auto channel = channel_to_path(folder.file("s"), kLimit);
  for (int i = 0; i < 3; ++i) {
    EchoServer server;
    const Doorman doorman(folder.file("s"), server.acceptor());
    ASSERT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30)));
    EXPECT_EQ(echoed(channel, "again"), "again");
    std::filesystem::remove(folder.file("s"));
  }
}

bool peer_is_closed(const UniqueFd& end) {
  pollfd entry{end.get(), POLLIN, 0};
  char byte = 0;
  return ::poll(&entry, 1, 30'000) == 1 && ::recv(end.get(), &byte, 1, MSG_DONTWAIT) == 0;
}

TEST(Acceptor, after_close_a_connection_is_closed_at_once_and_those_before_are_served_on) {
  EchoServer server;
  auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
  server.acceptor().adopt(std::move(theirs));
  const auto channel = channel_on_fd(std::move(ours), kLimit);
  EXPECT_EQ(echoed(channel, "before"), "before");
  server.acceptor().close();
  auto [late, refused] = socket_pair(SocketKind::kStream, false).value();
  server.acceptor().adopt(std::move(refused));
  EXPECT_TRUE(peer_is_closed(late));
  EXPECT_EQ(echoed(channel, "after"), "after");
}

TEST(Acceptor, no_descriptor_is_left_behind_by_a_thousand_connections) {
  const auto open_descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  EchoServer server;
  {
    auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
    server.acceptor().adopt(std::move(theirs));
    EXPECT_EQ(echoed(channel_on_fd(std::move(ours), kLimit), "x"), "x");
  }
  ASSERT_TRUE(test::eventually([&, before = open_descriptors()] { return open_descriptors() <= before; }));
  const auto before = open_descriptors();
  for (int i = 0; i < 1000; ++i) {
    auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
    server.acceptor().adopt(std::move(theirs));
    ours.reset();
  }
  EXPECT_TRUE(test::eventually([&] { return open_descriptors() <= before; })) << open_descriptors() << " > " << before;
}

TEST(Acceptor, connections_that_come_while_it_closes_are_served_or_closed_never_kept) {
  EchoServer server;
  std::vector<UniqueFd> ends;
  std::vector<UniqueFd> others;
  for (int i = 0; i < 200; ++i) {
    auto [ours, theirs] = socket_pair(SocketKind::kStream, false).value();
    ends.push_back(std::move(ours));
    others.push_back(std::move(theirs));
  }
  std::thread giver([&] {
    for (auto& end : others) server.acceptor().adopt(std::move(end));
  });
  server.acceptor().close();
  giver.join();
  for (const auto& end : ends) {
    pollfd entry{end.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 30'000), 1) << "neither closed nor greeted with SETTINGS";
  }
}

}  // namespace
}  // namespace ringside::rpc
