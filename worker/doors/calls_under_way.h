#pragma once
// The gRPC calls of a worker that are under way, for a drain to wait until there have been none for a while.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "base/clock.h"

namespace ringside::worker {

/// Thread-safe.
class CallsUnderWay {
 public:
  /// One call, from the constructor to the destructor. It may outlive the door.
  class Mark {
   public:
    explicit Mark(std::shared_ptr<CallsUnderWay> count) : count_(std::move(count)), too_late_(!count_->add(1)) {}
    ~Mark() { count_->add(-1); }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    /// It came after wait_quiet() had found nobody, and must not run: its client may be told that it never did.
    [[nodiscard]] bool too_late() const { return too_late_; }

   private:
    const std::shared_ptr<CallsUnderWay> count_;
    const bool too_late_;
  };

  /// Waits until no call has been under way for `quiet`; whatever comes after that is too late. False: stop() came
  /// first.
  bool wait_quiet(Duration quiet) {
    std::unique_lock lock(mutex_);
    while (!stopped_) {
      const auto begun = begun_;
      const auto disturbed = [&] { return stopped_ || under_way_ != 0 || begun_ != begun; };
      if (under_way_ == 0 && !changed_.wait_for(lock, quiet, disturbed)) return closed_ = true;
      changed_.wait(lock, [&] { return stopped_ || under_way_ == 0; });
    }
    return false;
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  /// False once it is closed.
  bool add(int calls) {
    const std::lock_guard lock(mutex_);
    under_way_ += calls;
    begun_ += calls > 0 ? 1 : 0;
    changed_.notify_all();
    return !closed_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int under_way_ = 0;
  std::uint64_t begun_ = 0;
  bool stopped_ = false;
  bool closed_ = false;
};

}  // namespace ringside::worker
