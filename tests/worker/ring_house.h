#pragma once
// A worker's ring side in this process: a runtime, the ring door, the gRPC door for its channels, and a ring.sock in a
// folder of its own. For the tests of both ends.

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/unix_socket.h"
#include "client/cpp/client.h"
#include "worker/doors/grpc_door.h"
#include "worker/doors/ring_door.h"
#include "worker/runtime/runtime.h"

namespace ringside::worker {

inline constexpr auto kPatience = std::chrono::seconds(30);

/// Waits for a condition that another thread makes true.
class Event {
 public:
  template <typename Change>
  void change(Change&& apply) {
    const std::lock_guard lock(mutex_);
    apply();
    changed_.notify_all();
  }
  template <typename Condition>
  bool wait(Condition&& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// For what has no event to wait for (a count in /proc, a door's statistics): looks again until it holds.
template <typename Condition>
bool becomes_true(Condition&& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

/// What a test holds of an upstream whose one tool, `hold`, answers when the test says so.
struct Held {
  Event event;
  std::map<std::uint64_t, UpstreamDone> waiting;
  std::map<std::uint64_t, std::function<bool(std::string)>> hears;  // of those whose callers take events
  std::uint64_t cancelled = 0;

  bool wait_for(std::size_t calls) {
    return event.wait([&] { return waiting.size() >= calls; });
  }
  bool wait_for_cancelled(std::uint64_t calls) {
    return event.wait([&] { return cancelled >= calls; });
  }
  /// Says something to every caller that takes events; false when one of them is slow.
  bool say(const std::string& message) {
    std::map<std::uint64_t, std::function<bool(std::string)>> told;
    event.change([&] { told = hears; });
    bool room = true;
    for (const auto& [id, hear] : told) room = hear(message) && room;
    return room;
  }
  /// Answers every call that is held; its text has so many bytes.
  void release(std::size_t text_bytes = 2) {
    std::map<std::uint64_t, UpstreamDone> released;
    event.change([&] {
      released.swap(waiting);
      hears.clear();
    });
    for (auto& [id, done] : released) {
      done(R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"result":{"content":[{"type":"text","text":")" +
           std::string(text_bytes, 'x') + R"("}]}})");
    }
  }
};

class HoldUpstream final : public Upstream {
 public:
  explicit HoldUpstream(std::shared_ptr<Held> held) : held_(std::move(held)) {}
  [[nodiscard]] const std::string& name() const override { return name_; }
  void send(UpstreamRequest request, UpstreamDone done) override {
    if (request.message.find("tools/list") != std::string::npos) {
      return done(R"({"jsonrpc":"2.0","id":)" + std::to_string(request.id) +
                  R"(,"result":{"tools":[{"name":"hold","inputSchema":{"type":"object"}}]}})");
    }
    held_->event.change([&] {
      if (request.on_message) held_->hears.emplace(request.id, std::move(request.on_message));
      held_->waiting.emplace(request.id, std::move(done));
    });
  }
  void cancel(std::uint64_t id) override {
    UpstreamDone done;
    held_->event.change([&] {
      const auto at = held_->waiting.find(id);
      if (at == held_->waiting.end()) return;
      done = std::move(at->second);
      held_->waiting.erase(at);
      held_->hears.erase(id);
      ++held_->cancelled;
    });
    if (done) done(Error{Code::kCancelled, 0, "the caller gave up"});
  }
  void on_tools_changed(std::function<void()> /*changed*/) override {}
  [[nodiscard]] UpstreamStatus status() const override { return {name_, "test", "ready", 0, 0}; }

 private:
  std::string name_ = "held";
  std::shared_ptr<Held> held_;
};

inline std::size_t mapped_segments() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("/memfd:") != std::string::npos ? 1 : 0;
  return count;
}

class RingHouse {
 public:
  /// With `dir` it takes the place of another, whose folder that is.
  explicit RingHouse(RingDoorOptions options = {}, std::string dir = {})
      : owns_dir_(dir.empty()), dir_(std::move(dir)) {
    char pattern[] = "/tmp/ring-house-XXXXXX";
    if (owns_dir_) dir_ = ::mkdtemp(pattern);
    RuntimeOptions runtime_options;
    runtime_options.transport_echo = true;
    runtime_options.max_body_bytes = options.max_body_bytes;
    std::vector<std::unique_ptr<Upstream>> upstreams;
    upstreams.push_back(std::make_unique<HoldUpstream>(held_));
    runtime_ =
        std::make_unique<Runtime>(runtime_options, system_clock(), std::move(open_sqlite_stores(dir_, {})).value(),
                                  std::move(upstreams), epoch_, [](const std::function<void()>& done) { done(); });
    rings_ = std::make_unique<RingDoor>(options, *runtime_);
    GrpcDoorOptions grpc_options;
    grpc_options.handles = &rings_->handles();
    grpc_options.extra_service = &rings_->service();
    grpc_ = std::move(GrpcDoor::start(*runtime_, grpc_options)).value();
    const Status started = rings_->start([this](UniqueFd channel) { grpc_->adopt(std::move(channel)); });
    RS_CHECK(started.ok(), "a ring door starts");
    listener_ = std::move(listen_at(dir_ + "/ring.sock", SocketKind::kSeqPacket)).value();
    auto stop = socket_pair(SocketKind::kStream, true);
    std::tie(stop_, stop_seen_) = std::move(*stop);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~RingHouse() {
    close_door();
    grpc_.reset();
    rings_.reset();
    held_->release();
    runtime_.reset();
    if (owns_dir_) std::filesystem::remove_all(dir_);
  }
  RingHouse(const RingHouse&) = delete;
  RingHouse& operator=(const RingHouse&) = delete;

  /// Nobody listens any more and every attachment ends.
  void close_door() {
    stop_listening();
    rings_->stop();
  }
  /// Nobody new gets in; the attachments stay.
  void stop_listening() {
    stop_.reset();
    if (acceptor_.joinable()) acceptor_.join();
    listener_.reset();
  }

  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] RingDoor& rings() { return *rings_; }
  [[nodiscard]] Held& held() { return *held_; }
  /// The segments that are mapped in this process once the door has made its spare one again.
  [[nodiscard]] std::size_t settled_segments() {
    EXPECT_TRUE(becomes_true([this] { return rings_->stats().spare_segments == 1; }));
    return mapped_segments();
  }
  [[nodiscard]] std::uint64_t refusals(const std::string& reason) {
    const auto stats = rings_->stats();
    const auto at = stats.refusals.find(reason);
    return at == stats.refusals.end() ? 0 : at->second;
  }
  [[nodiscard]] ClientOptions client_options(DoorChoice door = DoorChoice::kRing) const {
    ClientOptions options;
    options.runtime_dir = dir_;
    options.door = door;
    return options;
  }

 private:
  void accept_all() {
    pollfd watched[] = {{listener_.get(), POLLIN, 0}, {stop_seen_.get(), POLLIN, 0}};
    while (true) {
      ::poll(watched, std::size(watched), -1);
      if (watched[1].revents != 0) return;
      UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (connection) rings_->adopt(std::move(connection), ::getpid(), ::getuid());
    }
  }

  const bool owns_dir_;
  std::string dir_;
  std::atomic<std::uint64_t> epoch_{1};
  std::shared_ptr<Held> held_ = std::make_shared<Held>();
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<RingDoor> rings_;
  std::unique_ptr<GrpcDoor> grpc_;
  UniqueFd listener_;
  UniqueFd stop_;
  UniqueFd stop_seen_;
  std::thread acceptor_;
};

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* const folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

inline mcp::Request echo_of(std::string body) {
  mcp::Request request;
  request.method = "POST";
  request.path = "/_ringside/echo";
  request.body = std::move(body);
  return request;
}

inline mcp::Request post(std::string body) {
  mcp::Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.headers.set("content-type", "application/json");
  request.body = std::move(body);
  return request;
}

inline mcp::Request ping() { return post(R"({"jsonrpc":"2.0","id":7,"method":"ping"})"); }
inline constexpr std::string_view kPong = R"({"jsonrpc":"2.0","id":7,"result":{}})";

/// A call that stays under way until the test releases it; its arguments have so many bytes.
inline mcp::Request hold(std::size_t argument_bytes = 0) {
  return post(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hold","arguments":{"a":")" +
              std::string(argument_bytes, 'a') + R"("}}})");
}

inline std::string random_bytes(std::mt19937_64& random, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; i += 8) {
    const std::uint64_t word = random();
    text.replace(i, std::min<std::size_t>(8, bytes - i), reinterpret_cast<const char*>(&word),
                 std::min<std::size_t>(8, bytes - i));
  }
  return text;
}

}  // namespace ringside::worker
