// What the limits of an upstream promise: calls wait for their turn and are not lost, an own timeout ends them, and a
// circuit leaves an upstream that cannot be reached alone until it heals.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/worker/upstream/asking.h"
#include "worker/upstream/circuit.h"
#include "worker/upstream/limited_upstream.h"

namespace ringside::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

constexpr Error kDown{Code::kUnavailable, 0, "down"};

/// An upstream that keeps what it is sent until it is told to answer.
struct Held {
  std::mutex mutex;
  std::deque<std::pair<UpstreamRequest, UpstreamDone>> requests;
  std::vector<std::uint64_t> cancelled;
  bool at_once = false;  ///< answers everything without being told

  std::vector<std::uint64_t> ids() {
    const std::lock_guard lock(mutex);
    std::vector<std::uint64_t> ids;
    for (const auto& [request, done] : requests) ids.push_back(request.id);
    return ids;
  }
  void answer(Result<std::string> with = std::string("{}")) {
    std::unique_lock lock(mutex);
    auto [request, done] = std::move(requests.front());
    requests.pop_front();
    lock.unlock();
    done(std::move(with));
  }
};

class HeldUpstream final : public Upstream {
 public:
  explicit HeldUpstream(std::shared_ptr<Held> held) : held_(std::move(held)) {}
  ~HeldUpstream() override {
    while (!held_->ids().empty()) held_->answer(Error{Code::kCancelled, 0, "gone"});
  }
  HeldUpstream(const HeldUpstream&) = delete;
  HeldUpstream& operator=(const HeldUpstream&) = delete;
  [[nodiscard]] const std::string& name() const override { return name_; }
  void send(UpstreamRequest request, UpstreamDone done) override {
    if (held_->at_once) return done(std::string("{}"));
    const std::lock_guard lock(held_->mutex);
    held_->requests.emplace_back(std::move(request), std::move(done));
  }
  void cancel(std::uint64_t id) override {
    const std::lock_guard lock(held_->mutex);
    held_->cancelled.push_back(id);
  }
  void on_tools_changed(std::function<void()> /*changed*/) override {}
  [[nodiscard]] UpstreamStatus status() const override { return {name_, "held", "ready", 0, 0}; }

 private:
  const std::string name_ = "held";
  std::shared_ptr<Held> held_;
};

struct Limited {
  explicit Limited(UpstreamLimits limits) : upstream(limit_upstream(std::make_unique<HeldUpstream>(held), limits)) {}

  std::shared_ptr<Held> held = std::make_shared<Held>();
  std::unique_ptr<Upstream> upstream;
};

TEST(Circuit, it_opens_at_the_fifth_failure_in_a_row_and_one_request_at_a_time_tries_it) {
  FakeClock clock;
  Circuit circuit;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(circuit.failed(clock.now()), Circuit::Change::kNone);
  EXPECT_EQ(circuit.succeeded(), Circuit::Change::kNone);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(circuit.failed(clock.now()), Circuit::Change::kNone);
  EXPECT_TRUE(circuit.allows(clock.now()));
  EXPECT_EQ(circuit.failed(clock.now()), Circuit::Change::kOpened);
  for (const int pause : {1, 2, 4, 8, 16, 30, 30}) {
    EXPECT_FALSE(circuit.allows(clock.now()));
    circuit.failed(clock.now());  // of one that was under way: nothing new
    clock.advance(seconds(pause) - milliseconds(1));
    EXPECT_FALSE(circuit.allows(clock.now())) << pause;
    clock.advance(milliseconds(1));
    EXPECT_TRUE(circuit.allows(clock.now())) << pause;
    EXPECT_FALSE(circuit.allows(clock.now())) << "one at a time";
    EXPECT_EQ(circuit.failed(clock.now()), Circuit::Change::kNone);
  }
  clock.advance(seconds(30));
  EXPECT_TRUE(circuit.allows(clock.now()));
  circuit.undecided();
  EXPECT_TRUE(circuit.allows(clock.now()));
  EXPECT_EQ(circuit.succeeded(), Circuit::Change::kClosed);
  EXPECT_TRUE(circuit.allows(clock.now()));
  EXPECT_TRUE(circuit.allows(clock.now()));
}

TEST(Limits, calls_beyond_the_limit_wait_for_their_turn_in_their_order) {
  Limited house({.concurrency = 2});
  std::vector<Asked> asked;
  for (std::uint64_t id = 1; id <= 4; ++id) asked.push_back(ask(*house.upstream, id, "echo"));
  EXPECT_THAT(house.held->ids(), ElementsAre(1, 2));
  house.held->answer();
  EXPECT_TRUE(asked[0].get().ok());
  EXPECT_THAT(house.held->ids(), ElementsAre(2, 3));
  house.held->answer(kDown);
  EXPECT_EQ(asked[1].code(), Code::kUnavailable);
  house.held->answer();
  house.held->answer();
  EXPECT_TRUE(asked[2].get().ok());
  EXPECT_TRUE(asked[3].get().ok());
}

TEST(Limits, ten_thousand_calls_that_are_answered_at_once_need_no_deep_stack) {
  Limited house({.concurrency = 1});
  auto first = ask(*house.upstream, 1, "echo");
  std::vector<Asked> asked;
  for (std::uint64_t id = 2; id <= 10'000; ++id) asked.push_back(ask(*house.upstream, id, "echo"));
  house.held->at_once = true;
  house.held->answer();
  EXPECT_TRUE(first.get().ok());
  for (auto& one : asked) EXPECT_TRUE(one.get().ok());
}

TEST(Limits, who_waits_can_be_cancelled_and_has_its_deadline) {
  Limited house({.concurrency = 1});
  auto under_way = ask(*house.upstream, 1, "echo");
  auto cancelled = ask(*house.upstream, 2, "echo");
  EXPECT_EQ(ask(*house.upstream, 3, "echo", "{}", in(milliseconds(50))).code(), Code::kTimeout);
  house.upstream->cancel(2);
  EXPECT_EQ(cancelled.code(), Code::kCancelled);
  house.upstream->cancel(1);
  EXPECT_THAT(house.held->cancelled, ElementsAre(1)) << "which the upstream has";
  auto waiting = ask(*house.upstream, 4, "echo");
  house.upstream.reset();
  EXPECT_EQ(waiting.code(), Code::kCancelled);
  EXPECT_EQ(under_way.code(), Code::kCancelled);
}

TEST(Limits, an_upstreams_own_timeout_is_its_calls_deadline) {
  Limited house({.timeout = seconds(5)});
  auto asked = ask(*house.upstream, 1, "echo");
  auto sooner = ask(*house.upstream, 2, "echo", "{}", in(seconds(1)));
  const auto& requests = house.held->requests;
  EXPECT_LE(requests[0].first.deadline, in(seconds(5)));
  EXPECT_GT(requests[0].first.deadline, in(seconds(1)));
  EXPECT_LE(requests[1].first.deadline, in(seconds(1)));
  house.upstream.reset();
}

TEST(Limits, an_open_circuit_answers_at_once_and_heals) {
  Limited house({.timeout = seconds(60), .breaks = true});
  std::uint64_t id = 0;
  for (int i = 0; i < Circuit::kFailures; ++i) {
    auto asked = ask(*house.upstream, ++id, "echo");
    house.held->answer(i % 2 == 0 ? kDown : Error{Code::kTimeout, 0, "by its own timeout"});
    EXPECT_FALSE(asked.get().ok());
  }
  EXPECT_EQ(house.upstream->status().state, "failed");
  EXPECT_EQ(ask(*house.upstream, ++id, "echo").code(), Code::kUnavailable);
  EXPECT_TRUE(house.held->ids().empty()) << "nobody was asked";
  house.held->at_once = true;
  const auto end = in(seconds(20));
  while (!ask(*house.upstream, ++id, "echo").get().ok() && system_clock().now() < end) std::this_thread::yield();
  EXPECT_TRUE(ask(*house.upstream, ++id, "echo").get().ok());
  EXPECT_EQ(house.upstream->status().state, "ready");
}

TEST(Limits, failures_that_are_one_calls_own_open_no_circuit) {
  Limited house({.breaks = true});
  for (std::uint64_t id = 1; id <= 20; ++id) {
    auto asked = ask(*house.upstream, id, "echo", "{}", in(seconds(60)));
    house.held->answer(Error{id % 2 == 0 ? Code::kUpstream : Code::kTimeout, 0, "its own"});
    EXPECT_FALSE(asked.get().ok());
  }
  auto asked = ask(*house.upstream, 21, "echo");
  house.held->answer();
  EXPECT_TRUE(asked.get().ok());
}

}  // namespace
}  // namespace ringside::worker
