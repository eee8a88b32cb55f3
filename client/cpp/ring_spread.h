#pragma once
// Several rings of one client as one transport: each is attached for itself, to the worker that has the least to do
// just then, and calls go round those that are usable. Private to the library.

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "client/cpp/transport.h"

namespace ringside {

class RingSpread final : public Transport {
 public:
  /// At least one.
  explicit RingSpread(std::vector<std::shared_ptr<Transport>> rings) : rings_(std::move(rings)) {}

  std::shared_ptr<PendingCall> call_async(Request request, CallTrace* trace, Done done) override {
    return next().call_async(std::move(request), trace, std::move(done));
  }
  std::shared_ptr<PendingCall> stream(Request request, CallTrace* trace,
                                      std::shared_ptr<StreamBuffer> buffer) override {
    return next().stream(std::move(request), trace, std::move(buffer));
  }
  Outcome call(Request request, CallTrace* trace) override { return next().call(std::move(request), trace); }
  [[nodiscard]] bool usable() const override;
  [[nodiscard]] DoorChoice door() const override { return rings_.front()->door(); }

 private:
  /// The next usable one; where there is none, one that says so.
  Transport& next();

  const std::vector<std::shared_ptr<Transport>> rings_;
  std::atomic<std::size_t> turn_{0};
};

}  // namespace ringside
