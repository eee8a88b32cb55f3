// A call outlives its worker: the client detaches, attaches the same segment again to another worker, and what had no
// answer is published again. Both ends in one process.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "rings.h"

namespace ringside::shm {
namespace {

using test::Ring;

constexpr int kManyDeaths = 100;

/// The worker is gone; what it answered is read by now.
void lose_worker(Ring& ring, int most_deaths = kManyDeaths) {
  ring.worker.reset();
  EXPECT_TRUE(ring.client->detach(most_deaths).empty());
}

/// Another worker takes the same segment.
void attach_again(Ring& ring, std::uint32_t generation) {
  WorkerEndOptions options = test::worker_options();
  options.generation = generation;
  options.features = kFeatureRing | kFeatureAgain;
  std::string_view reason;
  ring.worker = WorkerEnd::attach(test::duplicate(ring.client->request_fd()), options, reason).value();
  ASSERT_TRUE(ring.client
                  ->join(test::duplicate(ring.worker->response_fd()), test::duplicate(ring.worker->doorbell_fd()),
                         {options.ring, generation})
                  .ok());
}

TEST(AttachAgain, what_was_not_taken_comes_without_a_mark_and_what_was_with_one_the_oldest_first) {
  Ring ring;
  const auto first = ring.send("first", "1");
  const auto second = ring.send("second", std::string(100'000, '2'));
  const auto third = ring.send("third", "3");
  ASSERT_EQ(ring.take().header, "first");
  EXPECT_FALSE(ring.client->was_taken(second.first, second.second));
  lose_worker(ring);
  attach_again(ring, 8);
  auto taken = ring.take();
  EXPECT_EQ(std::make_pair(taken.slot, taken.sequence), first);
  EXPECT_TRUE(taken.retry);
  taken = ring.take();
  EXPECT_EQ(taken.body, std::string(100'000, '2'));
  EXPECT_FALSE(taken.retry);
  taken = ring.take();
  EXPECT_EQ(std::make_pair(taken.slot, taken.sequence), third);
  EXPECT_FALSE(taken.retry);
  EXPECT_FALSE(ring.worker->take().value().has_value());
  for (const auto& call : {first, second, third}) {
    ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, "h", "b"));
    EXPECT_EQ(ring.receive().sequence, call.second);
  }
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(AttachAgain, who_takes_nothing_more_owes_what_it_took_and_has_not_answered) {
  Ring ring;
  EXPECT_FALSE(ring.client->owes_answers());
  const auto first = ring.send("first", "1");
  const auto second = ring.send("second", "2");
  EXPECT_FALSE(ring.client->owes_answers());
  (void)ring.take();
  EXPECT_TRUE(ring.client->owes_answers());
  EXPECT_TRUE(ring.client->is_taken(first.first, first.second));
  EXPECT_FALSE(ring.client->is_taken(second.first, second.second));
  ring.client->cancel(first.first, first.second);
  EXPECT_TRUE(ring.client->owes_answers()) << "given up is not answered";
  ASSERT_TRUE(ring.worker->complete(first.first, first.second, 200, "h", "b"));
  (void)ring.receive();
  EXPECT_FALSE(ring.client->owes_answers());
}

TEST(AttachAgain, another_worker_has_not_taken_what_one_before_it_had) {
  Ring ring;
  const auto call = ring.send("h", "b");
  (void)ring.take();
  lose_worker(ring);
  attach_again(ring, 8);
  EXPECT_FALSE(ring.client->is_taken(call.first, call.second));
  EXPECT_TRUE(ring.client->was_taken(call.first, call.second)) << "it may have run all the same";
}

TEST(AttachAgain, a_mark_stays_through_a_second_death_before_the_call_is_taken) {
  Ring ring;
  ring.send("h", "b");
  (void)ring.take();
  lose_worker(ring);
  attach_again(ring, 8);
  lose_worker(ring);
  attach_again(ring, 9);
  EXPECT_TRUE(ring.take().retry);
}

TEST(AttachAgain, a_mark_stays_when_the_caller_gives_up_before_the_call_is_taken_again) {
  Ring ring;
  const auto call = ring.send("h", "b");
  (void)ring.take();
  lose_worker(ring);
  attach_again(ring, 8);
  ring.client->cancel(call.first, call.second);
  EXPECT_TRUE(ring.take().retry) << "it may run a second time";
  EXPECT_TRUE(ring.take().cancel);
  ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, {}));
  EXPECT_EQ(ring.receive().sequence, call.second);
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(AttachAgain, a_dead_workers_answer_by_handle_is_not_held_against_its_successor) {
  Ring ring;
  auto [claim, handle] = test::lend_body(ring, "question");
  ASSERT_EQ(ring.worker->read(handle).value(), "question");
  const Handle answer = ring.worker->lend(handle, "answer").value();
  lose_worker(ring);
  attach_again(ring, 8);
  EXPECT_EQ(ring.client->borrow(answer, claim).error().code, Code::kUnavailable);
  EXPECT_FALSE(ring.client->poll().value().has_value()) << "the ring lives on";
}

TEST(AttachAgain, what_was_answered_is_not_published_again_and_its_loan_stays_good) {
  Ring ring;
  const auto call = ring.send("h", "b");
  (void)ring.take();
  ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, "head", "answer"));
  auto answer = ring.receive();
  lose_worker(ring);
  attach_again(ring, 8);
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_EQ(answer.answer.body(), "answer");
  answer = {};  // nothing is given back to a worker that never lent it
  const auto next = ring.send("next", {});
  EXPECT_EQ(ring.take().sequence, next.second);
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(AttachAgain, calls_made_and_given_up_while_no_worker_is_there) {
  Ring ring;
  lose_worker(ring);
  const auto kept = ring.send("kept", "x");
  const auto dropped = ring.send("dropped", "y");
  ring.client->cancel(dropped.first, dropped.second);
  EXPECT_FALSE(ring.client->poll().value().has_value());
  attach_again(ring, 8);
  const auto taken = ring.take();
  EXPECT_EQ(taken.sequence, kept.second);
  EXPECT_FALSE(taken.retry);
  EXPECT_FALSE(ring.worker->take().value().has_value());
}

TEST(AttachAgain, what_waited_for_the_dead_workers_word_is_free) {
  Ring ring;
  // Cancelled and not answered, a handle given up and not acknowledged, a handle that is still lent.
  const auto cancelled = ring.send("cancelled", std::string(kBlockBytes * 10, 'c'));
  ring.client->cancel(cancelled.first, cancelled.second);
  ring.client->abandon(test::lend_body(ring, "abandoned").first);
  auto lent = test::lend_body(ring, std::string(kBlockBytes, 'l')).first;
  lose_worker(ring);
  attach_again(ring, 8);
  lent = {};
  EXPECT_FALSE(ring.worker->take().value().has_value());
  std::vector<ClientEnd::Claim> claims;
  for (std::uint32_t i = 0; i < kSlots; ++i) claims.push_back(ring.client->claim(0, 0).value());
  claims.clear();
  EXPECT_TRUE(ring.client->claim(0, kMinSegmentBytes - sizeof(RequestSegment)).ok()) << "all blocks are free";
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(AttachAgain, a_call_that_too_many_workers_died_of_is_given_up) {
  Ring ring;
  const auto poison = ring.send("poison", "p");
  const auto patient = ring.send("patient", "q");
  for (int death = 1; death <= 3; ++death) {
    EXPECT_EQ(ring.take().sequence, poison.second);
    ring.worker.reset();
    const auto given_up = ring.client->detach(3);
    EXPECT_EQ(given_up.size(), death == 3 ? 1U : 0U);
    for (const auto& call : given_up) EXPECT_EQ(call.sequence, poison.second);
    attach_again(ring, 7U + static_cast<std::uint32_t>(death));
  }
  const auto taken = ring.take();
  EXPECT_EQ(taken.sequence, patient.second);
  EXPECT_FALSE(taken.retry);
}

TEST(AttachAgain, a_worker_that_is_none_changes_nothing) {
  Ring ring;
  const auto call = ring.send("h", "b");
  lose_worker(ring);
  EXPECT_EQ(ring.client->join(UniqueFd(), UniqueFd(), {1, 1}).error().code, Code::kPeerLied);
  attach_again(ring, 8);
  EXPECT_EQ(ring.take().sequence, call.second);
}

TEST(AttachAgain, a_hundred_workers_die_at_random_moments_and_every_call_is_answered_once) {
  std::mt19937_64 random(test::seed());
  Ring ring;
  std::map<std::uint64_t, std::string> open;
  std::map<std::uint64_t, int> answers;
  std::uint32_t generation = 8;
  const auto read_answers = [&] {
    while (auto answer = ring.client->poll().value()) {
      ASSERT_EQ(answer->answer.body(), open.at(answer->sequence));
      ASSERT_EQ(++answers[answer->sequence], 1);
      open.erase(answer->sequence);
    }
  };
  for (int step = 0; step < 20'000; ++step) {
    const auto choice = random() % 200;
    if (choice < 80) {
      std::string body = test::random_bytes(random, random() % 20'000);
      if (auto claim = ring.client->claim(0, body.size()); claim.ok()) {
        std::copy(body.begin(), body.end(), claim->body().begin());
        const std::uint64_t sequence = claim->sequence();
        ring.client->publish(std::move(*claim), SteadyTime::max());
        open.emplace(sequence, std::move(body));
      }
    } else if (choice < 160) {
      if (auto taken = ring.worker->take().value(); taken && random() % 10 != 0) {
        ASSERT_EQ(taken->body, open.at(taken->sequence));
        (void)ring.worker->complete(taken->slot, taken->sequence, 200, {}, taken->body);
      }
    } else if (choice < 199) {
      read_answers();
    } else {
      ring.worker.reset();
      read_answers();
      ASSERT_TRUE(ring.client->detach(kManyDeaths).empty());
      attach_again(ring, ++generation);
    }
    ASSERT_EQ(ring.worker->refusal(), "");
  }
  ring.worker.reset();
  read_answers();
  ASSERT_TRUE(ring.client->detach(kManyDeaths).empty());
  attach_again(ring, ++generation);
  while (auto taken = ring.worker->take().value()) {
    while (!ring.worker->complete(taken->slot, taken->sequence, 200, {}, taken->body)) ADD_FAILURE() << "no room";
    read_answers();
  }
  EXPECT_TRUE(open.empty());
}

}  // namespace
}  // namespace ringside::shm
