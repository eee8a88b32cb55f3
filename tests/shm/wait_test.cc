// Sleeping and waking: nobody sleeps through what it waits for, and nobody is woken for nothing.

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "rings.h"

namespace ringside::shm {
namespace {

using std::chrono::milliseconds;
using test::Ring;

SteadyTime in(Duration time) { return std::chrono::steady_clock::now() + time; }

/// A worker's serving thread: sleeps on the doorbell, answers each call with its own body.
class Echo {
 public:
  Echo(WorkerEnd& end, Duration spin) : end_(end), spin_(spin), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    RS_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, end.doorbell_fd(), &event) == 0, "a doorbell can be watched");
    thread_ = std::thread([this] { serve(); });
  }
  ~Echo() { thread_.join(); }

 private:
  void serve() {
    while (true) {
      const auto until = in(spin_);
      while (!end_.has_work() && std::chrono::steady_clock::now() < until) {
      }
      while (auto taken = end_.take().value()) {
        if (!taken->cancel) (void)end_.complete(taken->slot, taken->sequence, 200, taken->header, taken->body);
        if (taken->header == "stop") return;
      }
      if (!end_.park()) continue;
      epoll_event event{};
      RS_CHECK(::epoll_wait(epoll_.get(), &event, 1, 60'000) == 1, "a doorbell was slept through");
      end_.unpark();
    }
  }

  WorkerEnd& end_;
  Duration spin_;
  UniqueFd epoll_;
  std::thread thread_;
};

ClientEnd::Taken await(const Ring& ring, Duration spin) {
  while (true) {
    if (auto answer = ring.client->poll().value()) return std::move(*answer);
    const Status status = ring.client->wait(in(std::chrono::seconds(60)), spin);
    RS_CHECK(status.ok(), "an answer was slept through");
  }
}

void play_ping_pong(int rounds, Duration client_spin, Duration worker_spin) {
  const Ring ring;
  const Echo echo(*ring.worker, worker_spin);
  for (int round = 0; round < rounds; ++round) {
    const auto call = ring.send("ping", std::to_string(round));
    const auto answer = await(ring, client_spin);
    ASSERT_EQ(answer.sequence, call.second);
    ASSERT_EQ(answer.answer.body(), std::to_string(round));
  }
  ring.send("stop", {});
  (void)await(ring, client_spin);
}

TEST(Wait, a_hundred_thousand_round_trips_sleep_through_nothing) { play_ping_pong(100'000, {}, {}); }

TEST(Wait, nor_when_one_side_spins) {
  play_ping_pong(20'000, std::chrono::microseconds(20), {});
  play_ping_pong(20'000, {}, std::chrono::microseconds(20));
}

TEST(Wait, nor_when_both_spin) {
  play_ping_pong(100'000, std::chrono::microseconds(50), std::chrono::microseconds(50));
}

TEST(Wait, many_threads_publish_while_one_waits) {
  const Ring ring;
  const Echo echo(*ring.worker, {});
  constexpr int kThreads = 4;
  constexpr int kCalls = 5000;
  std::vector<std::thread> callers;
  for (int i = 0; i < kThreads; ++i) {
    callers.emplace_back([&ring] {
      for (int sent = 0; sent < kCalls;) {
        auto claim = ring.client->claim(4, 64);
        if (claim.ok()) {
          ring.client->publish(std::move(*claim), SteadyTime::max());
          ++sent;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  for (int i = 0; i < kThreads * kCalls; ++i) (void)await(ring, {});
  for (auto& caller : callers) caller.join();
  ring.send("stop", {});
  (void)await(ring, {});
}

TEST(Wait, ends_at_the_deadline) {
  const Ring ring;
  const auto start = std::chrono::steady_clock::now();
  const Status status = ring.client->wait(start + milliseconds(20), Duration::zero());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kTimeout);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(20));
  EXPECT_EQ(ring.client->wait(start, Duration::zero()).error().code, Code::kTimeout) << "long past";
}

TEST(Wait, spinning_ends_at_the_deadline_too) {
  const Ring ring;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ring.client->wait(start + milliseconds(5), std::chrono::hours(1)).error().code, Code::kTimeout);
}

TEST(Wait, returns_at_once_when_an_answer_is_there) {
  const Ring ring;
  const auto call = ring.send("h", {});
  (void)ring.take();
  ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
  EXPECT_TRUE(ring.client->wait(SteadyTime(), Duration::zero()).ok());
  EXPECT_EQ(ring.worker->wakes(), 0U) << "nobody slept";
}

// A thread that completes is held up between its answer and its look at `park`. Meanwhile the client takes the answer
// and announces its next sleep: the wake comes just before it falls asleep, and is lost.
TEST(Wait, a_wake_that_found_nobody_asleep_was_not_the_last_one) {
  Segment segment = Segment::create(kMinSegmentBytes).value();
  auto& shared = *reinterpret_cast<RequestSegment*>(segment.data());
  shared.header = make_header(Side::kClient, kMinSegmentBytes, 0, 0);
  std::string_view reason;
  const auto worker = WorkerEnd::attach(test::duplicate(segment.fd()), test::worker_options(), reason).value();
  for (std::uint32_t slot = 0; slot < 2; ++slot) {
    shared.slots[slot].sequence = slot + 1;
    shared.submissions[slot] = slot;
  }
  shared.submission_tail.value = 2;
  shared.park.value = 1;
  (void)worker->take();
  (void)worker->take();
  EXPECT_TRUE(worker->complete(0, 1, 200, {}, {}));
  EXPECT_EQ(worker->wakes(), 1U);
  EXPECT_TRUE(worker->complete(1, 2, 200, {}, {}));
  EXPECT_EQ(worker->wakes(), 2U) << "it could be asleep by now";
}

TEST(Wake, ends_a_wait_of_another_thread) {
  const Ring ring;
  for (const Duration spin : {Duration::zero(), Duration(milliseconds(2))}) {
    for (int round = 0; round < 500; ++round) {
      std::thread waiter([&] { EXPECT_TRUE(ring.client->wait(SteadyTime::max(), spin).ok()); });
      ring.client->wake();
      waiter.join();
    }
  }
}

TEST(Wake, while_nobody_waits_ends_the_next_wait_once) {
  const Ring ring;
  ring.client->wake();
  ring.client->wake();
  EXPECT_TRUE(ring.client->wait(SteadyTime::max(), Duration::zero()).ok());
  EXPECT_EQ(ring.client->wait(in(milliseconds(1)), Duration::zero()).error().code, Code::kTimeout);
}

TEST(Wake, of_several_threads_at_once_hangs_nobody) {
  const Ring ring;
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    while (!done) (void)ring.client->wait(SteadyTime::max(), Duration::zero());
  });
  std::vector<std::thread> wakers;
  for (int i = 0; i < 3; ++i) {
    wakers.emplace_back([&] {
      for (int round = 0; round < 3000; ++round) ring.client->wake();
    });
  }
  for (auto& waker : wakers) waker.join();
  done = true;
  ring.client->wake();
  waiter.join();
}

/// Hears a doorbell as a worker does.
class Ear {
 public:
  explicit Ear(const Ring& ring) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
    RS_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ring.worker->doorbell_fd(), &event) == 0, "it can be heard");
    (void)rung();  // it has been handed out rung
  }
  /// Since the last time that this was asked.
  [[nodiscard]] bool rung() const {
    epoll_event event{};
    return ::epoll_wait(epoll_.get(), &event, 1, 0) == 1;
  }

 private:
  UniqueFd epoll_;
};

TEST(Doorbell, does_not_ring_while_the_worker_is_awake) {
  const Ring ring;
  const Ear ear(ring);
  for (int i = 0; i < 10; ++i) ring.send("h", {});
  EXPECT_EQ(ring.client->doorbells_rung(), 0U);
  EXPECT_FALSE(ear.rung());
}

TEST(Doorbell, rings_once_for_each_sleep) {
  const Ring ring;
  const Ear ear(ring);
  ASSERT_TRUE(ring.worker->park());
  ring.send("1", {});
  EXPECT_TRUE(ear.rung());
  ring.send("2", {});
  EXPECT_EQ(ring.client->doorbells_rung(), 1U);
  EXPECT_FALSE(ear.rung());
  ring.worker->unpark();
  ring.worker->unpark();
  EXPECT_FALSE(ring.worker->park()) << "there is work";
  EXPECT_TRUE(ring.worker->has_work());
  ring.send("3", {});
  EXPECT_EQ(ring.client->doorbells_rung(), 1U) << "a park that failed left it awake";
  for (int i = 0; i < 3; ++i) (void)ring.take();
  EXPECT_FALSE(ring.worker->has_work());
  ASSERT_TRUE(ring.worker->park());
  ring.send("4", {});
  EXPECT_EQ(ring.client->doorbells_rung(), 2U);
  EXPECT_TRUE(ear.rung());
}

TEST(Doorbell, cannot_be_filled_to_block_the_worker) {
  const Ring ring;
  const std::uint64_t most = ~std::uint64_t{0} - 2;  // it has been handed out rung
  ASSERT_EQ(::write(ring.worker->doorbell_fd(), &most, sizeof most), static_cast<ssize_t>(sizeof most));
  ASSERT_TRUE(ring.worker->park());
  const auto call = ring.send("h", {});
  ring.worker->unpark();
  (void)ring.take();
  EXPECT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
}

}  // namespace
}  // namespace ringside::shm
