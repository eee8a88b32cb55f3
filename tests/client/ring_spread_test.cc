// Several rings as one: calls go round those that are usable, and one that ends is replaced behind the callers' backs.

#include "client/cpp/ring_spread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "tests/client/ring_callers.h"

namespace ringside {
namespace {

/// What a test holds of a ring that is none.
struct Strings {
  std::atomic<bool> usable{true};
  std::atomic<bool> gone{false};
  std::atomic<int> calls{0};
  std::vector<std::pair<Request, Transport::Done>> held;  // the test's thread only
  bool holds = false;
};

class Puppet final : public Transport {
 public:
  explicit Puppet(std::shared_ptr<Strings> strings) : strings_(std::move(strings)) {}
  ~Puppet() override { strings_->gone = true; }
  std::shared_ptr<PendingCall> call_async(Request request, CallTrace*, Done done) override {
    ++strings_->calls;
    if (!strings_->usable) {
      done({Error{Code::kUnavailable, 0, "gone"}, std::move(request)});
    } else if (strings_->holds) {
      strings_->held.emplace_back(std::move(request), std::move(done));
    } else {
      Response response;
      response.body = std::move(request.body);
      done({std::move(response)});
    }
    return nullptr;
  }
  [[nodiscard]] bool usable() const override { return strings_->usable; }
  [[nodiscard]] DoorChoice door() const override { return DoorChoice::kRing; }

 private:
  const std::shared_ptr<Strings> strings_;
};

/// Three rings, and what their replacements come from.
class Spread : public testing::Test {
 protected:
  Spread() {
    std::vector<std::shared_ptr<Transport>> rings;
    for (const auto& each : strings_) rings.push_back(std::make_shared<Puppet>(each));
    spread_ = std::make_unique<RingSpread>(
        std::move(rings), [this] { return attach(); }, std::chrono::milliseconds(1));
  }
  /// One call; it must be answered.
  void call() {
    const Outcome outcome = spread_->call(echo_of("x"), nullptr, nullptr);
    ASSERT_TRUE(outcome.answer.ok());
    EXPECT_EQ(outcome.answer->body, "x");
  }

  std::vector<std::shared_ptr<Strings>> strings_ = {std::make_shared<Strings>(), std::make_shared<Strings>(),
                                                    std::make_shared<Strings>()};
  std::shared_ptr<Strings> next_ = std::make_shared<Strings>();
  std::promise<void> may_attach_;
  std::atomic<int> attempts_{0};
  std::atomic<int> refusals_{0};
  std::unique_ptr<RingSpread> spread_;

 private:
  Result<std::shared_ptr<Transport>> attach() {
    if (attempts_.fetch_add(1) == 0) may_attach_.get_future().wait();
    if (refusals_.fetch_sub(1) > 0) return Error{Code::kUnavailable, 0, "not now"};
    return std::shared_ptr<Transport>(std::make_shared<Puppet>(next_));
  }
};

TEST_F(Spread, replaces_a_ring_that_has_ended_and_holds_up_nobody) {
  strings_[1]->usable = false;
  for (int i = 0; i < 30; ++i) call();
  EXPECT_TRUE(becomes_true([&] { return attempts_ == 1; }));
  for (int i = 0; i < 30; ++i) call();  // while the attach hangs
  may_attach_.set_value();
  EXPECT_TRUE(becomes_true([&] {
    call();
    return next_->calls > 0;
  }));
  EXPECT_TRUE(becomes_true([&] { return strings_[1]->gone.load(); }));
  EXPECT_EQ(strings_[1]->calls, 0);
  EXPECT_EQ(attempts_, 1);
}

TEST_F(Spread, tries_again_while_no_worker_takes_a_ring) {
  refusals_ = 3;
  may_attach_.set_value();
  strings_[0]->usable = false;
  EXPECT_TRUE(becomes_true([&] {
    call();
    return next_->calls > 0;
  }));
  EXPECT_EQ(attempts_, 4);
}

TEST_F(Spread, keeps_a_ring_until_the_last_call_on_it_has_ended) {
  may_attach_.set_value();
  strings_[0]->holds = true;
  std::promise<Outcome> ended;
  spread_->call_async(echo_of("held"), nullptr, [&](Outcome outcome) { ended.set_value(std::move(outcome)); });
  ASSERT_EQ(strings_[0]->held.size(), 1U);
  strings_[0]->usable = false;
  EXPECT_TRUE(becomes_true([&] {
    call();
    return next_->calls > 0;
  }));
  EXPECT_FALSE(strings_[0]->gone);
  strings_[0]->held.front().second({Error{Code::kUnavailable, 0, "gone"}});
  strings_[0]->held.clear();
  EXPECT_FALSE(ended.get_future().get().answer.ok());
  EXPECT_TRUE(becomes_true([&] { return strings_[0]->gone.load(); }));
}

TEST_F(Spread, is_unusable_without_any_ring_and_replaces_none_then) {
  may_attach_.set_value();
  for (const auto& each : strings_) each->usable = false;
  EXPECT_FALSE(spread_->usable());
  EXPECT_EQ(code_of(spread_->call(echo_of("x"), nullptr, nullptr)), Code::kUnavailable);
  spread_.reset();
  EXPECT_EQ(attempts_, 0);
  for (const auto& each : strings_) EXPECT_TRUE(each->gone);
}

}  // namespace
}  // namespace ringside
