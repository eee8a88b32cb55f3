// Waiting and called-back callers on one ring: leaders, followers, the reaper, deadlines, drains.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "client/cpp/ring_turns.h"
#include "tests/client/ring_callers.h"

namespace ringside {
namespace {

TEST(RingTransport, waiting_and_called_back_callers_share_a_ring) {
  RingHouse house;
  const auto transport = connect(house, DoorChoice::kRing);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 200; ++i) {
        const std::string body = std::to_string(thread) + "/" + std::to_string(i);
        if (thread % 2 == 0) {
          const Outcome outcome = transport->call(with_deadline(echo_of(body)), nullptr);
          right += outcome.answer.ok() && outcome.answer->body == body ? 1 : 0;
        } else {
          const Outcome outcome = Started(*transport, with_deadline(echo_of(body))).get();
          right += outcome.answer.ok() && outcome.answer->body == body ? 1 : 0;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 800);
}

TEST(RingTransport, each_follower_keeps_its_own_deadline) {
  RingHouse house;
  const auto transport = connect(house, DoorChoice::kRing);
  std::atomic<int> in_time{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto timeout = std::chrono::milliseconds(40 + 10 * (i % 4));
      const auto start = std::chrono::steady_clock::now();
      const Outcome outcome = transport->call(with_deadline(hold(), timeout), nullptr);
      const auto took = std::chrono::steady_clock::now() - start;
      if (code_of(outcome) == Code::kTimeout && took >= timeout && took < std::chrono::seconds(10)) ++in_time;
    });
  }
  Started early(*transport, with_deadline(hold(), std::chrono::seconds(20)));
  Started earlier(*transport, with_deadline(hold(), std::chrono::milliseconds(30)));
  EXPECT_EQ(code_of(earlier.get()), Code::kTimeout);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(in_time, 8);
  EXPECT_TRUE(house.held().wait_for_cancelled(9));
  house.held().release();
  EXPECT_TRUE(early.get().answer.ok());
}

TEST(RingTransport, slots_of_callers_who_gave_up_are_used_again) {
  RingHouse house;
  const auto transport = connect(house, DoorChoice::kRing);
  for (int i = 0; i < 3000; ++i) {
    Started call(*transport, with_deadline(hold()));
    call.pending->cancel();
    ASSERT_EQ(code_of(call.get()), Code::kCancelled);
  }
  EXPECT_EQ(transport->call(with_deadline(ping()), nullptr).answer->body, kPong);
  EXPECT_TRUE(transport->usable());
}

TEST(RingTransport, spinning_changes_no_answer) {
  RingDoorOptions options;
  options.spin = std::chrono::milliseconds(5);
  RingHouse house(options);
  ClientOptions client = house.client_options();
  client.spin = std::chrono::milliseconds(5);
  const auto transport = std::move(connect_ring(client, false)).value();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(transport->call(with_deadline(ping()), nullptr).answer->body, kPong);
  }
}

TEST(RingTransport, a_drained_worker_answers_before_it_closes) {
  RingHouse house;
  const auto transport = connect(house, DoorChoice::kRing, 4 * kMiB, std::chrono::milliseconds(100));
  Started call(*transport, with_deadline(hold()));
  ASSERT_TRUE(house.held().wait_for(1));
  std::promise<void> drained;
  house.rings().drain([&] { drained.set_value(); });
  house.held().release();
  EXPECT_TRUE(call.get().answer.ok());
  EXPECT_EQ(drained.get_future().wait_for(worker::kPatience), std::future_status::ready);
  EXPECT_TRUE(becomes_true([&] { return !transport->usable(); }));
}

TEST(RingTransport, a_client_speaks_through_the_ring_and_connects_again) {
  RingHouse house;
  auto client = Client::connect(house.client_options(DoorChoice::kAuto));
  ASSERT_TRUE(client.ok()) << client.error().message;
  EXPECT_EQ((*client)->door(), DoorChoice::kRing);
  CallTrace trace;
  const Answer answer = (*client)->call(ping(), {.trace = &trace});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->body, kPong);
  EXPECT_EQ(trace.ring_bytes_out, ping().body.size());
  EXPECT_EQ(trace.ring_bytes_in, kPong.size());
  EXPECT_EQ(trace.inline_bytes_out + trace.inline_bytes_in, 0U);

  house.close_door();
  RingHouse next({}, house.dir());
  EXPECT_TRUE(becomes_true([&] {
    const Answer again = (*client)->call(ping(), {.trace = &trace});
    return again.ok() && again->body == kPong;
  }));
  EXPECT_EQ(trace.door, DoorChoice::kRing);
  EXPECT_EQ(next.rings().stats().rings, 1U);
}

/// A ring of 1 MiB whose callers wait for room.
std::shared_ptr<Transport> ring_that_waits(const RingHouse& house) {
  ClientOptions options = house.client_options();
  options.segment_bytes = kMiB;
  options.when_full = WhenFull::kWait;
  return connect_ring(options, false).value();
}

TEST(RingTransport, a_client_that_chose_to_wait_waits_for_room_in_turn) {
  RingHouse house;
  const auto transport = ring_that_waits(house);
  constexpr std::size_t kBody = 430 * 1024;  // two of these leave no room for a part
  std::vector<std::unique_ptr<Started>> held;
  for (int i = 0; i < 2; ++i) held.push_back(std::make_unique<Started>(*transport, with_deadline(hold(kBody))));
  ASSERT_TRUE(house.held().wait_for(2));
  EXPECT_EQ(
      code_of(transport->call(with_deadline(echo_of(std::string(kBody, 'x')), std::chrono::milliseconds(30)), nullptr)),
      Code::kTimeout);
  std::vector<CallTrace> traces(8);
  std::vector<std::unique_ptr<Started>> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(std::make_unique<Started>(*transport, with_deadline(echo_of(std::string(kBody, 'a'))),
                                                &traces[static_cast<std::size_t>(i)]));
  }
  std::vector<std::thread> threads;
  for (int i = 4; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const Outcome outcome =
          transport->call(with_deadline(echo_of(std::string(kBody, 'b'))), &traces[static_cast<std::size_t>(i)]);
      EXPECT_TRUE(outcome.answer.ok() && outcome.answer->body.size() == kBody);
    });
  }
  EXPECT_TRUE(transport->call(with_deadline(ping()), nullptr).answer.ok()) << "what fits is not held up";
  house.held().release();
  for (auto& call : waiting) {
    const Outcome outcome = call->get();
    EXPECT_TRUE(outcome.answer.ok() && outcome.answer->body.size() == kBody);
  }
  for (auto& thread : threads) thread.join();
  for (const CallTrace& trace : traces) EXPECT_EQ(trace.ring_bytes_out, kBody);
}

TEST(RingTransport, who_gives_up_while_waiting_for_room_is_told_soon_and_others_keep_their_turn) {
  RingHouse house;
  const auto transport = ring_that_waits(house);
  const std::string body(860 * 1024, 'x');
  Started held(*transport, with_deadline(hold(body.size())));
  ASSERT_TRUE(house.held().wait_for(1));
  Started late(*transport, with_deadline(echo_of(body), std::chrono::milliseconds(30)));
  Started cancelled(*transport, with_deadline(echo_of(body)));
  Started patient(*transport, with_deadline(echo_of(body)));
  EXPECT_EQ(code_of(late.get()), Code::kTimeout);
  cancelled.pending->cancel();
  EXPECT_EQ(code_of(cancelled.get()), Code::kCancelled);
  house.held().release();
  EXPECT_TRUE(held.get().answer.ok());
  EXPECT_TRUE(patient.get().answer.ok());
}

TEST(RingTransport, room_that_comes_just_before_a_caller_waits_is_not_missed) {
  RingHouse house;
  const auto transport = ring_that_waits(house);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string body(860 * 1024, static_cast<char>('a' + t));
        const Outcome outcome = t == 0 ? Started(*transport, with_deadline(echo_of(body))).get()
                                       : transport->call(with_deadline(echo_of(body)), nullptr);
        ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
        ASSERT_EQ(outcome.answer->body, body);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(RingTransport, who_waits_for_room_is_passed_by_a_bounded_number) {
  RingHouse house;
  const auto transport = ring_that_waits(house);
  Started held(*transport, with_deadline(hold(870 * 1024)));  // leaves room for small bodies, for no part
  ASSERT_TRUE(house.held().wait_for(1));
  Started large(*transport, with_deadline(echo_of(std::string(860 * 1024, 'x'))));
  for (std::uint32_t i = 0; i < RingTurns::kMostPassing; ++i) {
    ASSERT_TRUE(transport->call(with_deadline(ping()), nullptr).answer.ok()) << i;
  }
  EXPECT_EQ(code_of(transport->call(with_deadline(ping(), std::chrono::milliseconds(30)), nullptr)), Code::kTimeout)
      << "there is room for it, but one that came before it has waited for long enough";
  Started behind(*transport, with_deadline(ping()));
  house.held().release();
  EXPECT_TRUE(held.get().answer.ok());
  EXPECT_TRUE(large.get().answer.ok());
  EXPECT_TRUE(behind.get().answer.ok());
  EXPECT_TRUE(transport->call(with_deadline(ping()), nullptr).answer.ok());
}

/// So many small calls that the ring is never without; each that is answered is followed by another.
class Flood {
 public:
  Flood(Transport& transport, int calls) : transport_(transport), open_(calls) {
    for (int i = 0; i < calls; ++i) next();
  }
  ~Flood() {
    stop_ = true;
    ended_.get_future().wait();
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  void next() {
    transport_.call_async(with_deadline(echo_of(std::string(60 * 1024, 'y'))), nullptr, [this](const Outcome& outcome) {
      EXPECT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
      if (!stop_ && outcome.answer.ok()) return next();
      if (--open_ == 0) ended_.set_value();
    });
  }
  Transport& transport_;
  std::atomic<int> open_;
  std::atomic<bool> stop_{false};
  std::promise<void> ended_;
};

TEST(RingTransport, a_large_call_is_served_in_the_midst_of_a_flood_of_small_ones) {
  RingHouse house;
  const auto transport = ring_that_waits(house);
  const Flood flood(*transport, 100);
  for (int i = 0; i < 20; ++i) {
    const std::string body(860 * 1024, static_cast<char>('a' + i));
    const Outcome outcome = i % 2 == 0 ? transport->call(with_deadline(echo_of(body)), nullptr)
                                       : Started(*transport, with_deadline(echo_of(body))).get();
    ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
    ASSERT_EQ(outcome.answer->body, body);
  }
}

/// A worker with room for one body of 3 MiB in parts, whatever ring it comes by.
RingDoorOptions room_for_one() {
  RingDoorOptions options;
  options.max_body_bytes = 4 * kMiB;
  options.bodies_in_parts = 1;
  return options;
}

TEST(RingTransport, bodies_of_two_rings_that_are_too_large_for_their_worker_together_come_one_after_the_other) {
  RingHouse house(room_for_one());
  const auto one = connect(house, DoorChoice::kRing, kMiB);
  const auto other = connect(house, DoorChoice::kRing, kMiB);
  for (int i = 0; i < 10; ++i) {
    const std::string body(3 * kMiB, static_cast<char>('a' + i));
    Started first(*one, with_deadline(echo_of(body)));
    Started second(*other, with_deadline(echo_of(body)));
    EXPECT_EQ(first.get().answer->body, body);
    EXPECT_EQ(second.get().answer->body, body);
  }
}

TEST(RingTransport, a_body_whose_worker_is_busy_with_another_ring_s_waits_but_not_for_ever) {
  RingHouse house(room_for_one());
  const auto one = connect(house, DoorChoice::kRing, kMiB);
  const auto other = connect(house, DoorChoice::kRing, kMiB);
  Started first(*one, with_deadline(hold(3 * kMiB)));
  ASSERT_TRUE(house.held().wait_for(1));
  Started second(*other, with_deadline(hold(3 * kMiB)));
  EXPECT_EQ(other->call(with_deadline(ping()), nullptr).answer->body, kPong);
  ASSERT_TRUE(house.held().wait_for(2));
  house.held().release();
  EXPECT_TRUE(first.get().answer.ok());
  EXPECT_TRUE(second.get().answer.ok());
}

TEST(RingTransport, who_waits_for_room_is_told_when_the_ring_ends) {
  RingHouse house;
  auto transport = ring_that_waits(house);
  Started held(*transport, with_deadline(hold(860 * 1024)));
  ASSERT_TRUE(house.held().wait_for(1));
  Started waiting(*transport, with_deadline(echo_of(std::string(860 * 1024, 'x'))));
  transport.reset();
  EXPECT_FALSE(waiting.get().answer.ok());
  EXPECT_FALSE(held.get().answer.ok());
}

}  // namespace
}  // namespace ringside
