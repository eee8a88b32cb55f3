// Bodies of gRPC calls that travel as handles.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "rings.h"

namespace ringside::shm {
namespace {

using test::lend_body;
using test::Ring;

TEST(Handle, a_lent_body_is_read_and_the_answer_borrowed) {
  std::mt19937_64 random(test::seed());
  const Ring ring;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{4097}, std::size_t{600'000}}) {
    const std::string body = test::random_bytes(random, bytes);
    auto [claim, handle] = lend_body(ring, body);
    EXPECT_EQ(handle.ring, test::kRing);
    EXPECT_EQ(handle.generation, test::kGeneration);
    EXPECT_EQ(handle.length, bytes);
    const std::string read = ring.worker->read(handle).value();
    EXPECT_EQ(read, body);
    const Handle answer = ring.worker->lend(handle, read).value();
    const Loan loan = ring.client->borrow(answer, claim).value();
    EXPECT_EQ(loan.header(), "");
    EXPECT_EQ(loan.body(), body);
  }
}

TEST(Handle, a_header_may_stand_before_the_body) {
  const Ring ring;
  auto claim = ring.client->claim(100, 3).value();
  claim.body()[0] = claim.body()[1] = claim.body()[2] = 'x';
  const Handle handle = ring.client->lend(claim);
  EXPECT_EQ(handle.length, 3U);
  EXPECT_EQ(ring.worker->read(handle).value(), "xxx");
}

TEST(Handle, is_stale_once_its_claim_is_gone) {
  const Ring ring;
  Handle handle;
  {
    auto [claim, lent] = lend_body(ring, "body");
    handle = lent;
  }
  EXPECT_EQ(ring.worker->read(handle).error().code, Code::kInvalid);
  EXPECT_EQ(ring.worker->lend(handle, "answer").error().code, Code::kInvalid);
  EXPECT_EQ(ring.worker->refusal(), "") << "giving up is no lie";
}

TEST(Handle, stays_stale_when_its_slot_is_used_again) {
  const Ring ring;
  auto [first, stale] = lend_body(ring, "first");
  const Handle answer = ring.worker->lend(stale, "a").value();
  { const Loan loan = ring.client->borrow(answer, first).value(); }
  first = ClientEnd::Claim();
  auto [second, fresh] = lend_body(ring, "second");
  ASSERT_EQ(fresh.slot, stale.slot);
  EXPECT_EQ(ring.worker->read(stale).error().code, Code::kInvalid);
  EXPECT_EQ(ring.worker->read(fresh).value(), "second");
}

TEST(Handle, an_answer_that_finds_no_room_goes_inline) {
  const Ring ring;
  auto [claim, handle] = lend_body(ring, "body");
  EXPECT_EQ(ring.worker->lend(handle, std::string(std::size_t{2} << 20U, 'a')).error().code, Code::kFull);
  EXPECT_EQ(ring.worker->lend(handle, std::string(std::size_t{9} << 20U, 'a')).error().code, Code::kFull);
}

TEST(Handle, a_call_is_answered_once) {
  const Ring ring;
  auto [claim, handle] = lend_body(ring, "body");
  ASSERT_TRUE(ring.worker->lend(handle, "answer").ok());
  EXPECT_EQ(ring.worker->lend(handle, "again").error().code, Code::kInvalid);
}

TEST(Abandon, before_the_answer_drops_the_answer) {
  const Ring ring;
  auto [claim, handle] = lend_body(ring, "body");
  ASSERT_TRUE(ring.worker->read(handle).ok());
  ring.client->abandon(std::move(claim));
  EXPECT_EQ(ring.worker->lend(handle, "answer").error().code, Code::kInvalid);
}

TEST(Abandon, after_the_answer_frees_what_it_holds) {
  const Ring ring;
  const std::string answer(700'000, 'a');
  for (int round = 0; round < 3000; ++round) {
    auto [claim, handle] = lend_body(ring, "body");
    ASSERT_TRUE(ring.worker->lend(handle, answer).ok()) << round;  // there is room for one only
    if (round % 2 == 0) {
      ring.client->abandon(std::move(claim));
    }  // else it is dropped, which comes to the same
  }
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(Abandon, does_not_touch_an_earlier_answer_of_the_same_slot) {
  const Ring ring;
  auto [first, first_handle] = lend_body(ring, "first");
  const Handle answer = ring.worker->lend(first_handle, std::string(5000, 'a')).value();
  const Loan loan = ring.client->borrow(answer, first).value();
  first = ClientEnd::Claim();
  auto [second, second_handle] = lend_body(ring, "second");
  ASSERT_EQ(second_handle.slot, first_handle.slot);
  ring.client->abandon(std::move(second));  // its request never reached the worker
  auto [third, third_handle] = lend_body(ring, "third");
  ASSERT_TRUE(ring.worker->lend(third_handle, std::string(5000, 'b')).ok());
  EXPECT_EQ(loan.body(), std::string(5000, 'a'));
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(Abandon, rests_the_slot_until_the_worker_has_heard) {
  const Ring ring;
  auto [claim, handle] = lend_body(ring, "body");
  ring.client->abandon(std::move(claim));
  std::vector<ClientEnd::Claim> claims;
  for (std::uint32_t i = 1; i < kSlots; ++i) claims.push_back(ring.client->claim(0, 0).value());
  EXPECT_EQ(ring.client->claim(0, 0).error().code, Code::kFull);
  EXPECT_FALSE(ring.worker->take().value().has_value());  // hears on the way
  const auto again = ring.client->claim(0, 0).value();
  EXPECT_EQ(again.slot(), handle.slot);
}

TEST(Abandon, without_end_wakes_a_sleeping_worker_and_overruns_nothing) {
  const Ring ring;
  ASSERT_TRUE(ring.worker->park());
  std::uint64_t rung = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto [claim, handle] = lend_body(ring, "never sent");
    ring.client->abandon(std::move(claim));
    if (ring.client->doorbells_rung() == rung) continue;
    rung = ring.client->doorbells_rung();
    ring.worker->unpark();
    ASSERT_TRUE(ring.worker->park());  // hears on the way
  }
  EXPECT_GT(rung, 0U);
  EXPECT_EQ(ring.worker->refusal(), "");
}

// The worker's threads answer while the client's give up at any moment; every block comes back.
TEST(Abandon, races_with_answers_and_loses_nothing) {
  std::mt19937_64 random(test::seed());
  const Ring ring;
  for (int round = 0; round < 3000; ++round) {
    auto [claim, handle] = lend_body(ring, std::string(100'000, static_cast<char>('a' + round % 26)));
    const int spins = static_cast<int>(random() % 400);
    Result<Handle> lent = Error{};
    std::thread worker([&ring, &lent, sent = handle] {
      const auto body = ring.worker->read(sent);
      if (!body.ok()) {
        EXPECT_EQ(body.error().code, Code::kInvalid);
      } else {
        EXPECT_EQ(body->find_first_not_of(body->front()), std::string::npos) << "torn";
        lent = ring.worker->lend(sent, *body);
        EXPECT_TRUE(lent.ok() || lent.error().code == Code::kInvalid);
      }
    });
    for (int i = 0; i < spins; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    ring.client->abandon(std::move(claim));
    auto next = ring.client->claim(0, 100'000).value();
    std::fill(next.body().begin(), next.body().end(), '!');
    worker.join();
  }
  EXPECT_FALSE(ring.worker->take().value().has_value());
  auto [claim, handle] = lend_body(ring, "last");
  EXPECT_TRUE(ring.worker->lend(handle, std::string(850'000, 'z')).ok()) << "all room is back";
  EXPECT_EQ(ring.worker->refusal(), "");
}

/// What the worker says to a handle that was changed on its way.
std::string refusal_of(void (*forge)(Handle&)) {
  const Ring ring;
  auto [claim, handle] = lend_body(ring, std::string(5000, 'a'));
  forge(handle);
  const auto read = ring.worker->read(handle);
  if (read.ok()) return "read";
  if (read.error().code == Code::kInvalid) return "stale";
  EXPECT_EQ(read.error().code, Code::kPeerLied);
  EXPECT_EQ(ring.worker->lend(handle, "answer").error().code, Code::kPeerLied);
  EXPECT_EQ(ring.worker->take().error().code, Code::kPeerLied) << "the ring is over";
  return std::string(ring.worker->refusal());
}

TEST(Handle, that_was_forged_ends_the_ring) {
  EXPECT_EQ(refusal_of([](Handle&) {}), "read");
  EXPECT_EQ(refusal_of([](Handle& handle) { ++handle.ring; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { ++handle.generation; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { handle.slot = kSlots; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { handle.slot = ~0U; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { handle.sequence = 0; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { ++handle.length; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { handle.length = ~std::uint64_t{0}; }), "bad_handle");
  EXPECT_EQ(refusal_of([](Handle& handle) { ++handle.sequence; }), "stale");
  EXPECT_EQ(refusal_of([](Handle& handle) { ++handle.slot; }), "stale");
}

TEST(Handle, to_a_call_of_the_queue_ends_the_ring) {
  const Ring ring;
  const auto call = ring.send({}, "body");
  const Handle handle{test::kRing, test::kGeneration, call.first, call.second, 0, 0, 4};
  EXPECT_EQ(ring.worker->read(handle).error().code, Code::kPeerLied);
  EXPECT_EQ(ring.worker->refusal(), "bad_handle");
}

TEST(Handle, that_a_worker_forged_ends_the_ring_for_the_client) {
  const auto forge = [](void (*change)(Handle&)) {
    const Ring ring;
    auto [claim, handle] = lend_body(ring, "body");
    Handle answer = ring.worker->lend(handle, std::string(5000, 'a')).value();
    change(answer);
    const auto loan = ring.client->borrow(answer, claim);
    if (loan.ok()) return std::string("borrowed");
    EXPECT_EQ(loan.error().code, Code::kPeerLied);
    EXPECT_EQ(ring.client->claim(0, 0).error().code, Code::kPeerLied);
    EXPECT_EQ(ring.client->borrow(answer, claim).error().code, Code::kPeerLied);
    return std::string(ring.client->poll().error().message);
  };
  EXPECT_EQ(forge([](Handle&) {}), "borrowed");
  EXPECT_EQ(forge([](Handle& handle) { ++handle.ring; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { ++handle.generation; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { ++handle.slot; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { ++handle.sequence; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { handle.first_block = ~0U; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { handle.block_count = ~0U; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { handle.length = ~std::uint64_t{0}; }), "bad_handle");
  EXPECT_EQ(forge([](Handle& handle) { handle.length = 9000; }), "bad_handle");
}

TEST(HandleDeathTest, misuse_is_our_bug) {
  const Ring ring;
  const Ring other;
  auto [claim, handle] = lend_body(ring, "body");
  EXPECT_DEATH((void)ring.client->lend(claim), "lent once");
  EXPECT_DEATH((void)other.client->lend(claim), "where it was made");
  EXPECT_DEATH(ring.client->publish(std::move(claim), SteadyTime::max()), "not published too");
}

}  // namespace
}  // namespace ringside::shm
