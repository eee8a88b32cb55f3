#include "http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "http/connection.h"

namespace ringside::http {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr int kBacklog = 256;
constexpr milliseconds kAcceptPause{100};  // out of descriptors: until some are closed

int socket_option(int socket, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

Result<std::uint16_t> bound_port(int socket) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return Error{Code::kSystem, errno, "the port that was bound is unknown"};
  }
  return ntohs(address.sin_port);
}

Result<UniqueFd> listen_on_loopback(std::uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error{Code::kSystem, errno, "no socket to listen on"};
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return Error{errno == EADDRINUSE ? Code::kUnavailable : Code::kSystem, errno, "the port cannot be listened on"};
  }
  return socket;
}

}  // namespace

class Server::Loop final : public ConnectionHost {
 public:
  Loop(ServerOptions options, Handler handler);
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void adopt(UniqueFd connection, std::string peer_ip);
  void run(std::function<void()> what);
  Result<std::uint16_t> listen_loopback(std::uint16_t port);
  void drain(std::function<void()> drained);
  [[nodiscard]] std::size_t open_connections() const { return open_.load(std::memory_order_relaxed); }

  [[nodiscard]] const ServerOptions& options() const override { return options_; }
  [[nodiscard]] const Handler& handler() const override { return handler_; }
  [[nodiscard]] bool draining() const override { return draining_; }
  void closed(Connection& connection) override;

 private:
  void serve(UniqueFd connection, std::string peer_ip);
  void wait_for_client();
  void accept_clients();
  void arm_sweep();
  void sweep();
  void announce_drained();
  template <typename Step>
  void for_each_connection(Step&& step);

  const ServerOptions options_;
  const Handler handler_;
  std::atomic<std::size_t> open_{0};
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::optional<asio::posix::stream_descriptor> listener_;
  asio::steady_timer accept_pause_{io_};
  asio::steady_timer sweep_timer_{io_};
  bool sweep_armed_ = false;
  bool draining_ = false;
  std::vector<std::function<void()>> drained_;
  std::thread thread_;
};

Server::Loop::Loop(ServerOptions options, Handler handler)
    : options_(options), handler_(std::move(handler)), thread_([this] { io_.run(); }) {}

Server::Loop::~Loop() {
  RS_CHECK(thread_.get_id() != std::this_thread::get_id(), "a Server is not destroyed from its own callbacks");
  asio::post(io_, [this] {
    draining_ = true;
    drained_.clear();
    listener_.reset();
    accept_pause_.cancel();
    for_each_connection([](Connection& connection) { connection.close(); });
    sweep_timer_.cancel();
    work_.reset();  // run() returns once every operation has said that it is aborted
  });
  thread_.join();
}

void Server::Loop::run(std::function<void()> what) { asio::post(io_, std::move(what)); }

void Server::Loop::adopt(UniqueFd connection, std::string peer_ip) {
  open_.fetch_add(1, std::memory_order_relaxed);
  asio::post(io_, [this, connection = std::move(connection), peer_ip = std::move(peer_ip)]() mutable {
    serve(std::move(connection), std::move(peer_ip));
  });
}

void Server::Loop::serve(UniqueFd fd, std::string peer_ip) {
  const int domain = socket_option(fd.get(), SO_DOMAIN);
  const int type = socket_option(fd.get(), SO_TYPE);
  Connection::Socket socket(io_);
  error_code error = asio::error::operation_not_supported;
  if (domain >= 0 && type == SOCK_STREAM && !draining_) {
    socket.assign(asio::generic::stream_protocol(domain, 0), fd.get(), error);
  }
  if (error) {
    if (!draining_) log::warn("connection refused: not a stream socket");
    open_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  (void)fd.release();
  if (domain != AF_UNIX) {
    const int on = 1;
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  const auto connection = std::make_shared<Connection>(*this, io_, std::move(socket), std::move(peer_ip));
  connections_.emplace(connection.get(), connection);
  arm_sweep();
  connection->start();
}

void Server::Loop::closed(Connection& connection) {
  open_.fetch_sub(1, std::memory_order_relaxed);
  connections_.erase(&connection);
  // The one that closes is still in the middle of it: drained is said after that.
  if (draining_ && connections_.empty()) asio::post(io_, [this] { announce_drained(); });
}

Result<std::uint16_t> Server::Loop::listen_loopback(std::uint16_t port) {
  UniqueFd socket = RS_TRY(listen_on_loopback(port));
  const std::uint16_t bound = RS_TRY(bound_port(socket.get()));
  asio::post(io_, [this, socket = std::move(socket)]() mutable {
    if (draining_) return;
    RS_CHECK(!listener_, "a Server listens once");
    listener_.emplace(io_, socket.release());
    wait_for_client();
  });
  return bound;
}

void Server::Loop::wait_for_client() {
  if (!listener_) return;
  listener_->async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& error) {
    if (!error) accept_clients();
  });
}

void Server::Loop::accept_clients() {
  while (listener_) {
    // Not asio's accept: it leaves the descriptor open in children.
    UniqueFd client(::accept4(listener_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) {
      open_.fetch_add(1, std::memory_order_relaxed);
      serve(std::move(client), {});
      continue;
    }
    if (errno == ECONNABORTED || errno == EINTR) continue;
    if (errno == EAGAIN) break;
    log::warn("cannot accept a connection errno={}", errno);
    accept_pause_.expires_after(kAcceptPause);
    accept_pause_.async_wait([this](const error_code& error) {
      if (!error) wait_for_client();
    });
    return;
  }
  wait_for_client();
}

void Server::Loop::drain(std::function<void()> drained) {
  asio::post(io_, [this, drained = std::move(drained)]() mutable {
    draining_ = true;
    drained_.push_back(std::move(drained));
    listener_.reset();
    for_each_connection([](Connection& connection) { connection.drain(); });
    if (connections_.empty()) announce_drained();
  });
}

void Server::Loop::announce_drained() {
  for (auto& drained : std::exchange(drained_, {})) drained();
}

template <typename Step>
void Server::Loop::for_each_connection(Step&& step) {
  std::vector<std::shared_ptr<Connection>> all;  // a step may close its connection
  all.reserve(connections_.size());
  for (const auto& [key, connection] : connections_) all.push_back(connection);
  for (const auto& connection : all) step(*connection);
}

// One timer for all connections: a timer each would be moved with every request, and nobody minds a time limit that is
// a quarter late.
void Server::Loop::arm_sweep() {
  if (sweep_armed_ || connections_.empty()) return;
  sweep_armed_ = true;
  const auto shortest = std::min(options_.idle_timeout, options_.request_timeout);
  sweep_timer_.expires_after(std::clamp(shortest / 4, milliseconds(5), milliseconds(1000)));
  sweep_timer_.async_wait([this](const error_code& error) {
    sweep_armed_ = false;
    if (!error) sweep();
  });
}

void Server::Loop::sweep() {
  const auto now = std::chrono::steady_clock::now();
  for_each_connection([now](Connection& connection) { connection.sweep(now); });
  arm_sweep();
}

Server::Server(ServerOptions options, Handler handler) : loop_(std::make_unique<Loop>(options, std::move(handler))) {}
Server::~Server() = default;

void Server::adopt(UniqueFd connection, std::string peer_ip) {
  loop_->adopt(std::move(connection), std::move(peer_ip));
}
void Server::run(std::function<void()> what) { loop_->run(std::move(what)); }
Result<std::uint16_t> Server::listen_loopback(std::uint16_t port) { return loop_->listen_loopback(port); }
void Server::drain(std::function<void()> drained) { loop_->drain(std::move(drained)); }
std::size_t Server::open_connections() const { return loop_->open_connections(); }

}  // namespace ringside::http
