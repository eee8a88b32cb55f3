#pragma once
// Several rings of one client as one transport: each is attached for itself, to the worker that has the least to do
// just then, and calls go round those that are usable. One that has ended is replaced by a new attachment, on a thread
// of the transport's own, which starts with the first that ends. Private to the library.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "client/cpp/transport.h"

namespace ringside {

class RingSpread final : public Transport {
 public:
  /// Makes one ring more.
  using Attach = std::function<Result<std::shared_ptr<Transport>>()>;

  /// At least one ring; `pause` lies between two attempts to replace one, and grows while they fail.
  RingSpread(std::vector<std::shared_ptr<Transport>> rings, Attach attach,
             Duration pause = std::chrono::milliseconds(100));
  /// Waits for an attach that is under way.
  ~RingSpread() override;

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override;
  Outcome call(Request request, CallTrace* trace, shm::Loan* loan) override;
  std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace, std::shared_ptr<StreamBuffer> buffer) override;
  [[nodiscard]] bool usable() const override;
  [[nodiscard]] DoorChoice door() const override { return door_; }

 private:
  /// A ring, or what is left of one: these stay, their transports go when nobody is inside.
  struct Ring {
    std::atomic<std::uint32_t> inside{0};  // calls under way, and threads that look at it
    std::shared_ptr<Transport> transport;
  };
  /// Keeps a ring's transport there.
  class Visit {
   public:
    explicit Visit(const std::atomic<Ring*>& place);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    [[nodiscard]] Transport& transport() const { return *ring_->transport; }
    [[nodiscard]] Ring& ring() const { return *ring_; }

   private:
    Ring* ring_;
  };

  /// The place of the next usable one; where there is none, of one that says so.
  std::size_t next();
  void ask_for_healing();
  void heal_all();
  bool heal();
  bool bury();

  const DoorChoice door_;
  const Attach attach_;
  const Duration pause_;
  std::vector<std::atomic<Ring*>> places_;
  std::atomic<std::size_t> turn_{0};
  std::atomic<bool> healing_{false};  // the healer knows, or has just tried in vain

  std::vector<std::unique_ptr<Ring>> rings_;  // the healer's: those in use and those that were
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  bool stopped_ = false;
  std::thread healer_;
};

}  // namespace ringside
