#include "worker/peers/peer_door.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/log.h"
#include "base/unix_socket.h"
#include "http/server.h"
#include "rpc/errors.h"
#include "worker/peers/protocol.h"

namespace ringside::worker {
namespace {

constexpr auto kIdle = std::chrono::hours(24);  // a peer that lives keeps its connections
constexpr std::size_t kMostHeaderBytes = std::size_t{256} * 1024;
constexpr auto kAcceptAgain = std::chrono::milliseconds(50);

std::string machine() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("localhost");
}

/// A call that another worker has admitted.
class PeerCall final : public Call {
 public:
  PeerCall(mcp::Request request, std::shared_ptr<http::Responder> responder)
      : Call(Door::kHttp, std::move(request)), responder_(std::move(responder)) {}

  void give_room() { has_room(); }

 private:
  void deliver(mcp::Response response) override { responder_->respond(std::move(response)); }
  void deliver_head(mcp::Response head) override { responder_->begin(head.status, std::move(head.headers)); }
  Written deliver_piece(std::string piece) override {
    return responder_->write(std::move(piece)) ? Written::kMore : Written::kSlow;
  }
  void deliver_end() override { responder_->end(); }

  const std::shared_ptr<http::Responder> responder_;
};

void read_fields(mcp::Request& request) {
  request.relayed = true;
  request.server_id = request.headers.get(mcp::kServerIdHeader);
  request.auth_encoded = request.headers.get(mcp::kAuthContextHeader);
  request.retry = request.headers.get(mcp::kRetryHeader) == "1";
  request.stream = request.headers.get(kStreamHeader) == "1";
  const std::string_view left = request.headers.get(kLeftHeader);
  std::int64_t ms = 0;
  if (std::from_chars(left.data(), left.data() + left.size(), ms).ec == std::errc() && ms > 0) {
    request.deadline = system_clock().now() + std::chrono::milliseconds(ms);
  }
}

}  // namespace

struct PeerDoor::Server {
  explicit Server(Runtime& runtime_in)
      : runtime(runtime_in),
        http({.max_body_bytes = runtime_in.options().max_body_bytes,
              .max_header_bytes = kMostHeaderBytes,
              .idle_timeout = kIdle},
             [this](mcp::Request request, std::shared_ptr<http::Responder> responder) {
               handle(std::move(request), std::move(responder));
             }) {}

  void handle(mcp::Request request, std::shared_ptr<http::Responder> responder) {
    const std::string name(request.headers.get(kRelayedHeader));
    if (name.empty()) return responder->respond(rpc::detail_error(400, "not from a worker"));
    if (request.path == kCancelPath) {
      cancel(name);
      mcp::Response done;
      done.status = 204;
      return responder->respond(std::move(done));
    }
    read_fields(request);
    const bool listens = request.method == "GET";
    const auto call = std::make_shared<PeerCall>(std::move(request), responder);
    const std::weak_ptr<PeerCall> weak = call;
    if (listens) {
      responder->on_gone([weak] {
        if (const auto gone = weak.lock()) gone->cancel();
      });
    } else if (!keep(name, weak)) {
      call->cancel();
    }
    responder->on_room([weak] {
      if (const auto slow = weak.lock()) slow->give_room();
    });
    runtime.serve(call);
  }

  /// False: it has been cancelled. That comes by a connection of its own, and so perhaps first.
  bool keep(const std::string& name, const std::weak_ptr<PeerCall>& call) {
    const std::lock_guard lock(mutex);
    if (std::erase(cancelled, name) != 0) return false;
    calls[name] = call;
    if (calls.size() < sweep_at) return true;
    std::erase_if(calls, [](const auto& each) { return each.second.expired(); });
    sweep_at = 2 * calls.size() + kSweepFirst;
    return true;
  }

  void cancel(const std::string& name) {
    std::shared_ptr<PeerCall> call;
    {
      const std::lock_guard lock(mutex);
      if (const auto found = calls.find(name); found != calls.end()) {
        call = found->second.lock();
        calls.erase(found);
      } else {
        cancelled.push_back(name);
        if (cancelled.size() > kMostCancelled) cancelled.pop_front();
      }
    }
    if (call) call->cancel();
  }

  static constexpr std::size_t kSweepFirst = 1024;
  static constexpr std::size_t kMostCancelled = 1024;
  Runtime& runtime;
  std::mutex mutex;
  std::unordered_map<std::string, std::weak_ptr<PeerCall>>
      calls;  // those that can be cancelled, and some that are over
  std::size_t sweep_at = kSweepFirst;
  std::deque<std::string> cancelled;  // names of calls that have not come yet
  http::Server http;                  // last: its thread uses the others
};

PeerDoor::PeerDoor(std::string path, UniqueFd listener)
    : path_(std::move(path)),
      address_(machine() + "|" + path_),
      listener_(std::move(listener)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Result<std::unique_ptr<PeerDoor>> PeerDoor::open(const std::string& runtime_dir) {
  const std::string folder = runtime_dir + "/peers";
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    log::error("cannot make the workers' folder path={} errno={}; make its parent writable for this user", folder,
               errno);
    return Error{Code::kSystem, errno, "the workers' folder cannot be made"};
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().stem();
    pid_t pid = 0;
    std::from_chars(name.data(), name.data() + name.size(), pid);
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) ::unlink(entry.path().c_str());
  }
  std::string path = folder + "/" + std::to_string(::getpid()) + ".sock";
  UniqueFd listener = RS_TRY(listen_at(path, SocketKind::kStream));
  return std::unique_ptr<PeerDoor>(new PeerDoor(std::move(path), std::move(listener)));
}

void PeerDoor::serve(Runtime& runtime) {
  server_ = std::make_unique<Server>(runtime);
  acceptor_ = std::thread([this] { accept(); });
}

void PeerDoor::accept() {
  std::array<pollfd, 2> polled{pollfd{listener_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
  while (true) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if (polled[1].revents != 0) return;
    UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection.valid()) {
      // Out of descriptors, say: the connection waits.
      if (errno != EAGAIN && errno != EINTR) ::poll(&polled[1], 1, static_cast<int>(kAcceptAgain.count()));
      continue;
    }
    const auto peer = peer_credentials(connection.get());
    if (peer.ok() && peer->uid == ::geteuid()) server_->http.adopt(std::move(connection));
  }
}

void PeerDoor::shut() {
  ::unlink(path_.c_str());
  ::eventfd_write(wake_.get(), 1);
  if (acceptor_.joinable()) acceptor_.join();
  listener_.reset();
}

void PeerDoor::drain(Duration within) {
  if (server_ == nullptr) return;
  // First: whoever comes finds nobody, and claims the session.
  shut();
  const auto drained = std::make_shared<std::promise<void>>();
  auto future = drained->get_future();
  server_->http.drain([drained] { drained->set_value(); });
  future.wait_for(within);
}

PeerDoor::~PeerDoor() { shut(); }

}  // namespace ringside::worker
