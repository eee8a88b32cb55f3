// Bodies in parts of several rings, which have one budget of their worker's memory together.

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "rings.h"
#include "shm/copy_budget.h"
#include "uploads.h"

namespace ringside::shm {
namespace {

using test::exchange;
using test::Upload;

constexpr std::size_t kMiB = 1U << 20U;
constexpr std::size_t kBody = 2 * kMiB;

std::shared_ptr<CopyBudget> budget_of(std::size_t bytes) {
  return std::make_shared<CopyBudget>(bytes, std::chrono::hours(1));
}

/// A ring that has its part of a budget.
struct Sharer {
  explicit Sharer(const std::shared_ptr<CopyBudget>& budget) : ring(kMinSegmentBytes, options_with(budget)) {}
  WorkerEndOptions options_with(const std::shared_ptr<CopyBudget>& budget) {
    WorkerEndOptions options = test::worker_options();
    options.features = kFeatureRing | kFeatureParts;
    options.budget = budget;
    options.turn = [this] { ++turns; };
    return options;
  }
  /// What the thread that serves the rings does when it was told to.
  void take_turns() {
    if (turns > 0) ring.worker->admit_parts();
    turns = 0;
  }
  /// The worker takes what there is of a body; true when it asks for more.
  [[nodiscard]] bool asks_for_more() const {
    EXPECT_FALSE(ring.worker->take().value().has_value());
    const auto asked = ring.client->poll().value();
    EXPECT_TRUE(!asked || asked->send_more);
    return asked.has_value();
  }
  /// Sends what is left of a body that more was asked of, and has it answered.
  void finish(Upload& upload) const {
    EXPECT_TRUE(upload.send_part());
    const auto taken = exchange(upload);
    EXPECT_TRUE(taken.body == upload.body);
    answer(taken);
  }
  void answer(const WorkerEnd::Taken& taken) const {
    EXPECT_TRUE(ring.worker->complete(taken.slot, taken.sequence, 200, "h", "done"));
    EXPECT_EQ(ring.receive().answer.body(), "done");
  }

  int turns = 0;
  test::Ring ring;
};

std::string body() { return std::string(kBody, 'b'); }

TEST(CopyBudget, two_bodies_that_fit_alone_and_not_together_come_one_after_the_other) {
  const auto budget = budget_of(kBody + kMiB);
  Sharer one(budget);
  Sharer other(budget);
  Upload first(one.ring, "h", body());
  Upload second(other.ring, "h", body());
  ASSERT_TRUE(one.asks_for_more());
  ASSERT_FALSE(other.asks_for_more()) << "it waits for its turn";

  (void)other.ring.send("h", "small");
  other.answer(other.ring.take());
  EXPECT_EQ(other.turns, 0);

  one.finish(first);
  EXPECT_EQ(other.turns, 1);
  other.take_turns();
  ASSERT_TRUE(other.asks_for_more());
  other.finish(second);
  EXPECT_FALSE(budget->anybody_waits());
}

TEST(CopyBudget, what_a_ring_held_is_free_when_it_ends) {
  const auto budget = budget_of(kBody);
  auto one = std::make_unique<Sharer>(budget);
  Sharer other(budget);
  const Upload first(one->ring, "h", body());
  Upload second(other.ring, "h", body());
  ASSERT_TRUE(one->asks_for_more());
  ASSERT_FALSE(other.asks_for_more());
  one.reset();
  other.take_turns();
  ASSERT_TRUE(other.asks_for_more());
  other.finish(second);
}

TEST(CopyBudget, who_waits_is_served_in_turn_and_who_gives_up_leaves_the_line) {
  const auto budget = budget_of(kBody);
  Sharer one(budget);
  Sharer gives_up(budget);
  auto ends = std::make_unique<Sharer>(budget);
  Sharer last(budget);
  Upload first(one.ring, "h", body());
  const Upload second(gives_up.ring, "h", body());
  const Upload third(ends->ring, "h", body());
  Upload fourth(last.ring, "h", body());
  ASSERT_TRUE(one.asks_for_more());
  ASSERT_FALSE(gives_up.asks_for_more());
  ASSERT_FALSE(ends->asks_for_more());
  ASSERT_FALSE(last.asks_for_more());

  gives_up.ring.client->cancel(second.slot, second.sequence);
  EXPECT_FALSE(gives_up.ring.worker->take().value().has_value());
  EXPECT_EQ(gives_up.ring.receive().status, 499);
  ends.reset();
  one.finish(first);
  EXPECT_EQ(gives_up.turns, 0);
  last.take_turns();
  ASSERT_TRUE(last.asks_for_more());
  last.finish(fourth);
}

TEST(CopyBudget, nobody_is_starved_by_bodies_that_are_begun_and_never_ended) {
  const auto budget = budget_of(kBody);
  Sharer hostile(budget);
  Sharer honest(budget);
  const Upload begun(hostile.ring, "h", body());
  const Upload begun_too(hostile.ring, "h", body());
  ASSERT_TRUE(hostile.asks_for_more());
  ASSERT_FALSE(hostile.asks_for_more());
  Upload upload(honest.ring, "h", body());
  ASSERT_FALSE(honest.asks_for_more());
  EXPECT_LT(budget->next_due(), SteadyTime::max());

  budget->expire(budget->next_due() + std::chrono::hours(1));
  EXPECT_EQ(budget->next_due(), SteadyTime::max());
  hostile.take_turns();
  honest.take_turns();
  ASSERT_TRUE(honest.asks_for_more()) << "it has waited for long enough";
  EXPECT_FALSE(hostile.asks_for_more()) << "who holds something waits on";
  honest.finish(upload);
}

TEST(CopyBudget, answers_beyond_it_go_another_way) {
  const auto budget = budget_of(kBody);
  const Sharer one(budget);
  const Sharer other(budget);
  const auto answer_in_parts = [](const Sharer& sharer, const WorkerEnd::Taken& taken) {
    std::string answer = body();
    return sharer.ring.worker->complete_in_parts(taken.slot, taken.sequence, 200, "h", answer);
  };
  (void)one.ring.send("h", "x");
  (void)other.ring.send("h", "x");
  const auto first = one.ring.take();
  const auto second = other.ring.take();
  EXPECT_TRUE(answer_in_parts(one, first));
  EXPECT_FALSE(answer_in_parts(other, second));
  while (one.ring.receive().more) EXPECT_FALSE(one.ring.worker->take().value().has_value());
  EXPECT_TRUE(answer_in_parts(other, second));
}

}  // namespace
}  // namespace ringside::shm
