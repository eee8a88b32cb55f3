// Calls through a ring, both ends in one process over the two mappings.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "rings.h"

namespace ringside::shm {
namespace {

using test::Ring;

constexpr std::size_t kPoolBytes = kMinSegmentBytes - sizeof(RequestSegment);

TEST(Ring, bodies_of_every_size_around_a_blocks_edge_come_back_byte_exact) {
  std::mt19937_64 random(test::seed());
  const Ring ring;
  std::vector<std::size_t> sizes = {0, 1, 63, 64, 65, 127, 128, 129};
  for (const std::size_t blocks : {1U, 2U, 3U, 16U, 100U}) {
    for (const std::size_t below : {130U, 65U, 64U, 63U, 1U, 0U}) sizes.push_back(blocks * kBlockBytes - below);
    for (const std::size_t above : {1U, 63U, 64U, 65U, 130U}) sizes.push_back(blocks * kBlockBytes + above);
  }
  for (const std::size_t body_bytes : sizes) {
    for (const std::size_t header_bytes : {0U, 1U, 63U, 64U, 65U, 500U, 4096U}) {
      const std::string header = test::random_bytes(random, header_bytes);
      const std::string body = test::random_bytes(random, body_bytes);
      const auto call = ring.send(header, body);
      const auto taken = ring.take();
      ASSERT_EQ(std::make_pair(taken.slot, taken.sequence), call);
      ASSERT_FALSE(taken.cancel);
      ASSERT_EQ(taken.header, header);
      ASSERT_EQ(taken.body, body);
      ASSERT_EQ(taken.deadline, SteadyTime::max());
      ASSERT_TRUE(ring.worker->complete(taken.slot, taken.sequence, 200, taken.body, taken.header));
      const auto answer = ring.receive();
      ASSERT_EQ(std::make_pair(answer.slot, answer.sequence), call);
      ASSERT_EQ(answer.status, 200);
      ASSERT_FALSE(answer.inline_answer);
      ASSERT_EQ(answer.answer.header(), body);
      ASSERT_EQ(answer.answer.body(), header);
    }
  }
}

TEST(Ring, a_body_starts_aligned_behind_its_header) {
  const Ring ring;
  const auto claim = ring.client->claim(5, 100).value();
  EXPECT_EQ(claim.header().size(), 5U);
  EXPECT_EQ(claim.body().size(), 100U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(claim.body().data()) % kBodyAlignment, 0U);
}

TEST(Ring, a_taken_body_has_room_for_a_parsers_padding) {
  const Ring ring;
  ring.send("h", std::string(1000, 'x'));
  EXPECT_GE(ring.take().body.capacity(), 1064U);
}

TEST(Ring, a_body_that_can_never_fit_is_too_large) {
  const Ring ring;
  EXPECT_EQ(ring.client->claim(0, kPoolBytes + 1).error().code, Code::kTooLarge);
  EXPECT_EQ(ring.client->claim(~std::size_t{0}, 0).error().code, Code::kTooLarge);
  EXPECT_EQ(ring.client->claim(1, ~std::size_t{0}).error().code, Code::kTooLarge);
  EXPECT_TRUE(ring.client->claim(0, kPoolBytes).ok());
}

TEST(Ring, a_full_pool_refuses_the_claim_and_recovers) {
  const Ring ring;
  const auto call = ring.send({}, std::string(kPoolBytes, 'a'));
  EXPECT_EQ(ring.client->claim(1, 0).error().code, Code::kFull);
  EXPECT_TRUE(ring.client->claim(0, 0).ok()) << "what needs no block needs no room";
  (void)ring.take();
  EXPECT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
  EXPECT_EQ(ring.client->claim(1, 0).error().code, Code::kFull) << "nobody has looked for the answer yet";
  (void)ring.receive();
  EXPECT_TRUE(ring.client->claim(0, kPoolBytes).ok());
}

TEST(Ring, every_slot_in_use_refuses_the_claim) {
  const Ring ring;
  std::vector<ClientEnd::Claim> claims;
  for (std::uint32_t i = 0; i < kSlots; ++i) claims.push_back(ring.client->claim(0, 0).value());
  EXPECT_EQ(ring.client->claim(0, 0).error().code, Code::kFull);
  claims.pop_back();
  EXPECT_TRUE(ring.client->claim(0, 0).ok());
}

TEST(Ring, a_claim_dropped_unpublished_is_free_again) {
  const Ring ring;
  for (int i = 0; i < 3000; ++i) {
    auto claim = ring.client->claim(10, kPoolBytes - 64).value();
    auto moved = std::move(claim);
    moved = ClientEnd::Claim();
  }
  EXPECT_FALSE(ring.worker->take().value().has_value());
}

TEST(Ring, answers_come_in_any_order_and_a_slow_call_holds_up_nobody) {
  const Ring ring;
  const auto slow = ring.send("slow", std::string(10'000, 's'));
  ASSERT_EQ(ring.take().header, "slow");
  for (int i = 0; i < 5000; ++i) {
    const auto call = ring.send("quick", std::string(200'000, 'q'));
    const auto taken = ring.take();
    ASSERT_EQ(taken.sequence, call.second);
    ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, std::string_view(taken.body).substr(0, 5000)));
    ASSERT_EQ(ring.receive().answer.body().size(), 5000U);
  }
  EXPECT_TRUE(ring.worker->complete(slow.first, slow.second, 200, "late", {}));
  EXPECT_EQ(ring.receive().answer.header(), "late");
}

TEST(Ring, many_calls_under_way_keep_their_answers_apart) {
  std::mt19937_64 random(test::seed());
  const Ring ring(kMaxSegmentBytes, kMaxSegmentBytes);
  std::map<std::uint64_t, std::string> sent;
  std::deque<WorkerEnd::Taken> under_way;
  std::vector<Loan> kept;
  for (int step = 0; step < 30'000; ++step) {
    switch (random() % 4) {
      case 0: {
        const std::string body = test::random_bytes(random, random() % 20'000);
        if (auto claim = ring.client->claim(8, body.size()); claim.ok()) {
          std::copy(body.begin(), body.end(), claim->body().begin());
          sent[claim->sequence()] = body;
          ring.client->publish(std::move(*claim), SteadyTime::max());
        } else {
          ASSERT_EQ(claim.error().code, Code::kFull);
        }
        break;
      }
      case 1:
        if (auto taken = ring.worker->take().value()) {
          ASSERT_EQ(taken->body, sent.at(taken->sequence));
          under_way.push_back(std::move(*taken));
        }
        break;
      case 2:
        if (!under_way.empty()) {
          std::swap(under_way[random() % under_way.size()], under_way.back());
          const auto taken = std::move(under_way.back());
          under_way.pop_back();
          (void)ring.worker->complete(taken.slot, taken.sequence, 200, "h", taken.body);
        }
        break;
      default:
        if (auto answer = ring.client->poll().value()) {
          const auto body = sent.extract(answer->sequence).mapped();
          if (!answer->inline_answer) {
            ASSERT_EQ(answer->answer.body(), body);
            kept.push_back(std::move(answer->answer));
          }
        }
        if (kept.size() > 40) kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(random() % kept.size()));
        break;
    }
  }
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(Ring, a_deadline_reaches_the_worker) {
  const Ring ring;
  const SteadyTime deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  ring.send("h", {}, deadline);
  EXPECT_EQ(ring.take().deadline, deadline);
  ring.send("h", {}, SteadyTime());
  EXPECT_LE(ring.take().deadline, SteadyTime() + std::chrono::nanoseconds(1)) << "long past, but a deadline";
}

TEST(Ring, an_answer_without_room_is_announced_as_inline) {
  const Ring ring;
  const auto first = ring.send("1", {});
  const auto second = ring.send("2", {});
  (void)ring.take();
  (void)ring.take();
  EXPECT_TRUE(ring.worker->complete(first.first, first.second, 200, {}, std::string(800'000, 'a')));
  EXPECT_FALSE(ring.worker->complete(second.first, second.second, 201, "h", std::string(100'000, 'b')));
  auto large = ring.receive();
  const auto announced = ring.receive();
  EXPECT_TRUE(announced.inline_answer);
  EXPECT_EQ(announced.status, 201);
  EXPECT_EQ(announced.answer.body(), "");
  large.answer = Loan();

  const auto third = ring.send("3", {});
  (void)ring.take();
  EXPECT_TRUE(ring.worker->complete(third.first, third.second, 200, {}, std::string(800'000, 'c'))) << "room again";
  EXPECT_EQ(ring.receive().answer.body().size(), 800'000U);
}

TEST(Ring, an_answer_larger_than_any_pool_is_announced_as_inline) {
  const Ring ring;
  const auto call = ring.send({}, {});
  (void)ring.take();
  EXPECT_FALSE(ring.worker->complete(call.first, call.second, 200, {}, std::string(std::size_t{9} << 20U, 'a')));
  EXPECT_TRUE(ring.receive().inline_answer);
}

TEST(Ring, loans_return_their_blocks_and_stay_readable_after_the_client_is_gone) {
  Ring ring;
  const auto call = ring.send("h", {});
  (void)ring.take();
  ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, "head", std::string(700'000, 'a')));
  (void)ring.receive();  // dropped, so given back
  const auto next = ring.send("h", {});
  (void)ring.take();
  ASSERT_TRUE(ring.worker->complete(next.first, next.second, 200, "head", std::string(700'000, 'b')));
  Loan loan = ring.receive().answer;
  ring.client.reset();
  EXPECT_EQ(loan.header(), "head");
  Loan moved;
  moved = std::move(loan);
  EXPECT_EQ(moved.body(), std::string(700'000, 'b'));
}

TEST(Ring, the_journal_names_a_call_before_it_is_served) {
  const Ring ring;
  std::string_view reason;
  const auto response = Segment::adopt(test::duplicate(ring.worker->response_fd()), reason).value();
  const auto& journal = reinterpret_cast<const ResponseSegment*>(response.data())->taken;
  const auto call = ring.send("h", {});
  EXPECT_EQ(journal[call.first].load(), 0U);
  (void)ring.take();
  EXPECT_EQ(journal[call.first].load(), call.second);
}

TEST(Cancel, reaches_the_worker_while_the_call_is_under_way) {
  const Ring ring;
  const auto call = ring.send("h", {});
  (void)ring.take();
  ring.client->cancel(call.first, call.second);
  ring.client->cancel(call.first, call.second);
  const auto cancel = ring.take();
  EXPECT_TRUE(cancel.cancel);
  EXPECT_EQ(std::make_pair(cancel.slot, cancel.sequence), call);
  EXPECT_FALSE(ring.worker->take().value().has_value()) << "said twice, sent once";
  EXPECT_TRUE(ring.worker->complete(call.first, call.second, 499, {}, {}));
  EXPECT_EQ(ring.receive().status, 499);
}

TEST(Cancel, of_a_call_not_yet_taken_comes_after_it) {
  const Ring ring;
  const auto call = ring.send("h", {});
  ring.client->cancel(call.first, call.second);
  EXPECT_FALSE(ring.take().cancel);
  EXPECT_TRUE(ring.take().cancel);
  EXPECT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
  (void)ring.receive();
}

TEST(Cancel, of_an_answered_call_is_passed_over_and_its_slot_rests_until_then) {
  const Ring ring;
  for (int round = 0; round < 5000; ++round) {
    const auto call = ring.send("h", {});
    (void)ring.take();
    ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
    ring.client->cancel(call.first, call.second);  // crosses the answer
    (void)ring.receive();
    ring.client->cancel(call.first, call.second);  // too late to be sent
    const auto next = ring.send("next", {});
    ASSERT_NE(next.first, call.first) << "its cancelling entry has not been read";
    const auto taken = ring.take();
    ASSERT_EQ(taken.header, "next");
    ASSERT_TRUE(ring.worker->complete(next.first, next.second, 200, {}, {}));
    (void)ring.receive();
  }
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(RingDeathTest, answering_twice_is_our_bug) {
  const Ring ring;
  const auto call = ring.send("h", {});
  (void)ring.take();
  ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
  EXPECT_DEATH((void)ring.worker->complete(call.first, call.second, 200, {}, {}), "once");
}

TEST(RingDeathTest, using_an_end_that_is_not_joined_is_our_bug) {
  const auto client = ClientEnd::create(kMinSegmentBytes).value();
  EXPECT_DEATH((void)client->claim(0, 0), "join");
  EXPECT_DEATH((void)client->poll(), "join");
  EXPECT_DEATH((void)client->wait(SteadyTime::max(), Duration::zero()), "join");
}

}  // namespace
}  // namespace ringside::shm
