#pragma once
// A client whose transports do as a test says.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "client/cpp/door_client.h"
#include "tests/client/calls.h"

namespace ringside::test {

inline constexpr Error kGone{Code::kUnavailable, 0, "gone"};

/// What a test and its transports share.
struct World {
  std::mutex mutex;
  std::map<DoorChoice, Code> closed;  ///< doors that are not open, and why
  std::vector<DoorChoice> tried;      ///< in order
  std::vector<Duration> given;        ///< connect timeouts
  std::atomic<int> calls{0};
  std::atomic<int> alive{0};  ///< transports
  std::atomic<bool> usable{true};
  std::atomic<int> unsent{0};       ///< so many calls are handed back unsent
  std::atomic<bool> lost{false};    ///< calls end with kUnavailable after they were sent
  std::atomic<int> worker_dies{0};  ///< so many calls meet a worker that dies with them
  std::atomic<bool> hang{false};
  std::atomic<std::promise<void>*> hold{nullptr};  ///< the next to connect waits for it
  std::promise<void> connecting;                   ///< and says so here
};

class FakeTransport final : public Transport, public std::enable_shared_from_this<FakeTransport> {
 public:
  FakeTransport(World& world, DoorChoice door) : world_(world), door_(door) { ++world_.alive; }
  ~FakeTransport() override {
    for (auto& done : hanging_) done({Error{Code::kCancelled, 0, "gone"}, std::nullopt});
    --world_.alive;
  }

  struct Pending final : PendingCall {
    explicit Pending(std::weak_ptr<FakeTransport> owner) : transport(std::move(owner)) {}
    void cancel() override {
      if (const auto alive = transport.lock()) alive->end_all();
    }
    const std::weak_ptr<FakeTransport> transport;  // a call may be kept longer
  };

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override {
    if (trace != nullptr) trace->door = door_;
    if (world_.unsent-- > 0) {
      usable_ = false;
      done({kGone, std::move(request)});
      return nullptr;
    }
    ++world_.calls;
    if (world_.worker_dies-- > 0) {
      usable_ = false;
      done({kGone, std::nullopt, std::move(request)});
    } else if (world_.lost) {
      usable_ = false;
      done({kGone, std::nullopt});
    } else if (world_.hang) {
      const std::lock_guard lock(mutex_);
      hanging_.push_back(std::move(done));
    } else {
      Response response;
      response.headers.set("retry", request.retry ? "yes" : "no");
      response.body = std::move(request.body);
      done({std::move(response), std::nullopt});
    }
    return std::make_shared<Pending>(weak_from_this());
  }

  void end_all() {
    std::vector<Done> ended;
    {
      const std::lock_guard lock(mutex_);
      ended.swap(hanging_);
    }
    for (auto& done : ended) done({Error{Code::kCancelled, 0, "cancelled"}, std::nullopt});
  }

  bool usable() const override { return usable_ && world_.usable; }
  DoorChoice door() const override { return door_; }

 private:
  World& world_;
  const DoorChoice door_;
  std::atomic<bool> usable_{true};
  std::mutex mutex_;
  std::vector<Done> hanging_;
};

class AClient : public testing::Test {
 protected:
  Connector connector() {
    return [this](DoorChoice door, const ClientOptions& options) -> Result<std::shared_ptr<Transport>> {
      if (auto* hold = world_.hold.exchange(nullptr)) {
        world_.connecting.set_value();
        hold->get_future().wait();
      }
      const std::lock_guard lock(world_.mutex);
      world_.tried.push_back(door);
      world_.given.push_back(options.connect_timeout);
      if (const auto closed = world_.closed.find(door); closed != world_.closed.end()) {
        return Error{closed->second, 0, "closed"};
      }
      return std::shared_ptr<Transport>(std::make_shared<FakeTransport>(world_, door));
    };
  }
  Result<std::shared_ptr<Client>> open(DoorChoice door, std::size_t max_body_bytes = 1000) {
    ClientOptions options;
    options.door = door;
    options.max_body_bytes = max_body_bytes;
    options.connect_timeout = patience_;
    return DoorClient::open(options, connector());
  }
  void close(DoorChoice door, Code why = Code::kUnavailable) {
    const std::lock_guard lock(world_.mutex);
    world_.closed[door] = why;
  }
  void close_all() {
    for (const auto door : {DoorChoice::kRing, DoorChoice::kGrpc, DoorChoice::kHttp, DoorChoice::kHandle}) close(door);
  }
  void open_all() {
    const std::lock_guard lock(world_.mutex);
    world_.closed.clear();
  }

  World world_;
  Duration patience_ = std::chrono::milliseconds(100);
};

}  // namespace ringside::test
