// Calls through rings and handles against a real ring door and runtime in this process.

#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <latch>
#include <thread>
#include <vector>

#include "tests/client/ring_callers.h"

namespace ringside {
namespace {

class BothDoors : public ::testing::TestWithParam<DoorChoice> {};
INSTANTIATE_TEST_SUITE_P(Rings, BothDoors, ::testing::Values(DoorChoice::kRing, DoorChoice::kHandle),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST_P(BothDoors, bodies_of_every_size_come_back_byte_for_byte) {
  const std::uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  RingHouse house;
  const auto transport = connect(house, GetParam());
  std::vector<std::size_t> sizes = {0, 1, 63, 64, 65, 4095, 4096, 4097, 65536, kMiB, 2 * kMiB, 4 * kMiB, 12 * kMiB + 5};
  for (int i = 0; i < 40; ++i) sizes.push_back(random() % (300'000));
  for (const std::size_t size : sizes) {
    const std::string body = random_bytes(random, size);
    CallTrace trace;
    const Outcome outcome = transport->call(with_deadline(echo_of(body)), &trace);
    ASSERT_TRUE(outcome.answer.ok()) << size << ": " << outcome.answer.error().message;
    EXPECT_EQ(outcome.answer->status, 200);
    ASSERT_TRUE(outcome.answer->body == body) << size;
    EXPECT_EQ(trace.door, GetParam());
    EXPECT_EQ(trace.worker_pid, ::getpid());
    EXPECT_NE(trace.ring, 0U);
    EXPECT_EQ(trace.ring_bytes_out + trace.inline_bytes_out, size);
    EXPECT_EQ(trace.ring_bytes_in + trace.inline_bytes_in, size);
    const bool fits = size <= 3 * kMiB || GetParam() == DoorChoice::kRing;  // which sends the larger ones in parts
    EXPECT_EQ(trace.ring_bytes_out, fits ? size : 0) << "what fits goes by the ring";
    EXPECT_EQ(trace.ring_bytes_in, fits ? size : 0);
  }
}

TEST_P(BothDoors, a_request_s_parts_and_an_answer_s_headers_arrive) {
  RingHouse house;
  const auto transport = connect(house, GetParam());
  const Outcome pong = transport->call(with_deadline(ping()), nullptr);
  ASSERT_TRUE(pong.answer.ok());
  EXPECT_EQ(pong.answer->body, kPong);
  EXPECT_EQ(pong.answer->headers.get("content-type"), "application/json");

  Request wrong_path = ping();
  wrong_path.path = "/elsewhere";
  EXPECT_EQ(transport->call(with_deadline(wrong_path), nullptr).answer->status, 404);

  Request closing;
  closing.method = "DELETE";
  closing.path = "/mcp";
  EXPECT_EQ(transport->call(with_deadline(closing), nullptr).answer->status, 405) << "no session is named";
  closing.session_id = "nobody";
  EXPECT_EQ(transport->call(with_deadline(closing), nullptr).answer->status, 404);
}

TEST_P(BothDoors, a_thousand_calls_of_64_threads_each_get_their_own_answer) {
  constexpr int kThreads = 64;
  constexpr int kEach = 16;
  RingHouse house;
  const auto transport = connect(house, GetParam());
  std::atomic<int> right{0};
  std::latch start(kThreads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(static_cast<std::uint64_t>(thread));
      start.arrive_and_wait();
      for (int i = 0; i < kEach; ++i) {
        const std::string body = random_bytes(random, random() % 20'000);
        const Outcome outcome = transport->call(with_deadline(echo_of(body)), nullptr);
        if (outcome.answer.ok() && outcome.answer->body == body) ++right;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, kThreads * kEach);
}

TEST_P(BothDoors, a_thousand_calls_are_under_way_at_once) {
  constexpr std::size_t kCalls = 1000;
  RingHouse house;
  const auto transport = connect(house, GetParam());
  std::vector<std::unique_ptr<Started>> calls;
  for (std::size_t i = 0; i < kCalls; ++i) {
    calls.push_back(std::make_unique<Started>(*transport, with_deadline(hold())));
  }
  ASSERT_TRUE(house.held().wait_for(kCalls));
  house.held().release();
  for (auto& call : calls) {
    const Outcome outcome = call->get();
    ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
    EXPECT_EQ(outcome.answer->status, 200);
  }
}

TEST_P(BothDoors, a_slow_call_holds_up_nobody) {
  RingHouse house;
  const auto transport = connect(house, GetParam());
  Started slow(*transport, with_deadline(hold()));
  ASSERT_TRUE(house.held().wait_for(1));
  for (int i = 0; i < 3000; ++i) {
    const Outcome pong = transport->call(with_deadline(ping()), nullptr);
    ASSERT_TRUE(pong.answer.ok());
  }
  house.held().release();
  EXPECT_TRUE(slow.get().answer.ok());
}

TEST_P(BothDoors, a_deadline_ends_a_call_and_tells_the_upstream) {
  RingHouse house;
  const auto transport = connect(house, GetParam());
  CallTrace trace;
  EXPECT_EQ(code_of(transport->call(with_deadline(hold(), std::chrono::milliseconds(50)), &trace)), Code::kTimeout);
  EXPECT_GT(trace.ring_bytes_out, 0U);
  EXPECT_EQ(trace.ring_bytes_in, 0U);
  Started late(*transport, with_deadline(hold(), std::chrono::milliseconds(50)));
  EXPECT_EQ(code_of(late.get()), Code::kTimeout);
  EXPECT_TRUE(house.held().wait_for_cancelled(2));
  EXPECT_EQ(transport->call(with_deadline(ping()), nullptr).answer->body, kPong);
}

TEST_P(BothDoors, a_cancelled_call_ends_soon_and_tells_the_upstream) {
  RingHouse house;
  const auto transport = connect(house, GetParam());
  Started call(*transport, with_deadline(hold()));
  ASSERT_TRUE(house.held().wait_for(1));
  call.pending->cancel();
  EXPECT_EQ(code_of(call.get()), Code::kCancelled);
  call.pending->cancel();  // again, for nothing
  EXPECT_TRUE(house.held().wait_for_cancelled(1));
  Started answered(*transport, with_deadline(ping()));
  EXPECT_TRUE(answered.get().answer.ok());
  if (answered.pending) answered.pending->cancel();
}

TEST_P(BothDoors, a_worker_that_goes_away_and_has_no_successor_ends_every_call) {
  RingHouse house;
  const auto transport = connect(house, GetParam(), 4 * kMiB, std::chrono::seconds(1));
  std::vector<std::unique_ptr<Started>> async;
  for (int i = 0; i < 10; ++i) async.push_back(std::make_unique<Started>(*transport, with_deadline(hold())));
  std::atomic<int> unavailable{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (code_of(transport->call(with_deadline(hold()), nullptr)) == Code::kUnavailable) ++unavailable;
    });
  }
  ASSERT_TRUE(house.held().wait_for(18));
  const auto start = std::chrono::steady_clock::now();
  house.close_door();
  for (auto& call : async) {
    const Outcome outcome = call->get();
    EXPECT_EQ(code_of(outcome), Code::kUnavailable);
    EXPECT_FALSE(outcome.unsent.has_value());
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(unavailable, 8);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));

  ASSERT_TRUE(becomes_true([&] { return !transport->usable(); }));
  const Outcome unsent = transport->call(with_deadline(ping()), nullptr);
  EXPECT_EQ(code_of(unsent), Code::kUnavailable);
  ASSERT_TRUE(unsent.unsent.has_value()) << "nothing left this process, so it may be sent elsewhere";
  EXPECT_EQ(unsent.unsent->body, ping().body);
  const Outcome unsent_async = Started(*transport, with_deadline(ping())).get();
  EXPECT_TRUE(unsent_async.unsent.has_value());
}

TEST_P(BothDoors, a_transport_that_goes_away_answers_what_is_under_way) {
  RingHouse house;
  auto transport = connect(house, GetParam());
  Started call(*transport, with_deadline(hold()));
  ASSERT_TRUE(house.held().wait_for(1));
  transport.reset();
  ASSERT_EQ(call.future.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(code_of(call.get()), Code::kCancelled);
  call.pending->cancel();  // it may outlive the transport
  EXPECT_TRUE(becomes_true([&] { return house.rings().stats().rings == 0; }));
}

TEST_P(BothDoors, nothing_is_left_behind) {
  RingHouse house;
  { EXPECT_TRUE(connect(house, GetParam())->call(with_deadline(echo_of("warm")), nullptr).answer.ok()); }
  ASSERT_TRUE(becomes_true([&] { return house.rings().stats().rings == 0; }));
  const std::size_t maps = house.settled_segments();
  const std::size_t descriptors = worker::open_descriptors();
  for (int i = 0; i < 20; ++i) {
    const auto transport = connect(house, GetParam());
    EXPECT_TRUE(transport->call(with_deadline(echo_of(std::string(5 * kMiB, 'x'))), nullptr).answer.ok());
  }
  EXPECT_TRUE(becomes_true([&] { return house.rings().stats().rings == 0; }));
  EXPECT_EQ(house.rings().stats().bytes, 0U);
  EXPECT_TRUE(becomes_true([&] { return worker::mapped_segments() <= maps; }));
  EXPECT_TRUE(becomes_true([&] { return worker::open_descriptors() <= descriptors; }));
}

TEST_P(BothDoors, a_full_ring_sends_bodies_inline) {
  RingHouse house;
  const auto transport = connect(house, GetParam(), kMiB);
  constexpr std::size_t kBody = 200 * 1024;
  std::vector<std::unique_ptr<Started>> calls;
  std::vector<CallTrace> traces(6);
  for (auto& trace : traces) {
    calls.push_back(std::make_unique<Started>(*transport, with_deadline(hold(kBody)), &trace));
    ASSERT_TRUE(house.held().wait_for(calls.size()));
  }
  house.held().release();
  std::size_t by_ring = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    ASSERT_TRUE(calls[i]->get().answer.ok());
    EXPECT_EQ(traces[i].ring_bytes_out + traces[i].inline_bytes_out, hold(kBody).body.size());
    by_ring += traces[i].ring_bytes_out != 0 ? 1 : 0;
  }
  EXPECT_GE(by_ring, 3U);
  EXPECT_LT(by_ring, calls.size());
  CallTrace trace;
  EXPECT_TRUE(transport->call(with_deadline(echo_of(std::string(kBody, 'x'))), &trace).answer.ok());
  EXPECT_EQ(trace.ring_bytes_out, kBody) << "there is room again";
  EXPECT_TRUE(transport->call(with_deadline(echo_of(std::string(2 * kMiB, 'x'))), &trace).answer.ok());
  const bool in_parts = GetParam() == DoorChoice::kRing;
  EXPECT_EQ(trace.inline_bytes_out, in_parts ? 0 : 2 * kMiB) << "it can never fit in one piece";
  EXPECT_TRUE(Started(*transport, with_deadline(echo_of(std::string(2 * kMiB, 'x'))), &trace).get().answer.ok());
  EXPECT_EQ(trace.inline_bytes_out, in_parts ? 0 : 2 * kMiB);
}

TEST_P(BothDoors, an_answer_too_large_for_the_ring_arrives_all_the_same) {
  RingDoorOptions options;
  options.segment_bytes = kMiB;
  RingHouse house(options);
  const auto transport = connect(house, GetParam(), 4 * kMiB);
  std::mt19937_64 random(7);
  const std::string body = random_bytes(random, 3 * kMiB);
  CallTrace trace;
  const Outcome waited = transport->call(with_deadline(echo_of(body)), &trace);
  ASSERT_TRUE(waited.answer.ok()) << waited.answer.error().message;
  EXPECT_TRUE(waited.answer->body == body);
  EXPECT_EQ(trace.ring_bytes_out, body.size());
  const std::size_t in_parts = GetParam() == DoorChoice::kRing ? body.size() : 0;
  EXPECT_EQ(trace.inline_bytes_in, body.size() - in_parts);
  EXPECT_EQ(trace.ring_bytes_in, in_parts);
  const Outcome called_back = Started(*transport, with_deadline(echo_of(body)), &trace).get();
  ASSERT_TRUE(called_back.answer.ok());
  EXPECT_TRUE(called_back.answer->body == body);
  EXPECT_EQ(trace.ring_bytes_in, in_parts);
}

TEST_P(BothDoors, a_body_over_the_worker_s_limit_is_answered_with_413) {
  RingDoorOptions options;
  options.max_body_bytes = 100'000;
  RingHouse house(options);
  const auto transport = connect(house, GetParam());
  Request request = ping();
  request.body.append(std::string(150'000, ' '));
  EXPECT_EQ(transport->call(with_deadline(request), nullptr).answer->status, 413) << "by the runtime";
  request.body.append(std::string(150'000, ' '));
  EXPECT_EQ(transport->call(with_deadline(request), nullptr).answer->status, 413) << "by gRPC's own limit";
  EXPECT_EQ(Started(*transport, with_deadline(request)).get().answer->status, 413);
  EXPECT_TRUE(transport->usable());
}

}  // namespace
}  // namespace ringside
