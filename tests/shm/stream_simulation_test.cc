// Every interleaving of small streams, and random ones of larger: nobody sleeps while there is room, no piece comes
// twice or out of its turn, a cancelled stream ends, a reader that stops holds up nobody else. And the same checker
// finds each of the mistakes that one could make there.

#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "explore.h"
#include "rings.h"
#include "stream_model.h"

namespace ringside::shm::stream_model {
namespace {

// the streams' Writers, the Serving thread, the Reader, who Cancels
constexpr model::Cast kCast{.letters = "12SRC", .agents = kAgents};

model::Verdict explore_streams(const Bounds& bounds, Bug bug = Bug::kNone) {
  Model model(bounds, bug);
  return model::explore(model, model.start(), kCast, essence);
}

void expect_sound(const Bounds& bounds) {
  const model::Verdict verdict = explore_streams(bounds);
  EXPECT_EQ(verdict.fault, "") << verdict.trace;
  EXPECT_GT(verdict.rests, 0U);
  std::printf("%d streams of %d and %d pieces, %d blocks, %d of them for one%s%s: %zu states, %zu ends\n",
              bounds.streams, bounds.pieces_of_one, bounds.pieces, bounds.blocks, bounds.share,
              bounds.cancels ? ", cancelled" : "", bounds.stuck ? ", one unread" : "", verdict.states, verdict.rests);
}

TEST(StreamSimulation, one_stream_through_one_block) {
  expect_sound({.streams = 1, .pieces_of_one = 3, .blocks = 1, .much = 1});
  expect_sound({.streams = 1, .pieces_of_one = 3, .blocks = 1, .much = 2});
}

TEST(StreamSimulation, one_stream_that_may_hold_more_than_a_block) {
  expect_sound({.streams = 1, .pieces_of_one = 3, .blocks = 2, .share = 2, .much = 2});
}

TEST(StreamSimulation, one_stream_that_is_cancelled_at_any_time) {
  expect_sound({.streams = 1, .pieces_of_one = 2, .blocks = 1, .much = 1, .cancels = true});
}

TEST(StreamSimulation, one_stream_that_is_not_read_and_cancelled_ends) {
  expect_sound({.streams = 1, .pieces_of_one = 2, .blocks = 1, .much = 1, .cancels = true, .stuck = true});
}

TEST(StreamSimulation, one_that_ends_without_a_piece_beside_one_that_has_some) {
  expect_sound({.streams = 2, .pieces = 2, .pieces_of_one = 0, .blocks = 1, .much = 1});
}

TEST(StreamSimulation, one_that_is_not_read_holds_up_itself_only) {
  expect_sound({.streams = 2, .pieces = 1, .pieces_of_one = 2, .blocks = 2, .much = 1, .stuck = true});
}

TEST(StreamSimulation, more_of_everything_in_every_order_of_steps) {
  // The rest takes some minutes, so it is for the long form.
  if (std::getenv("RINGSIDE_CHAOS_ROUNDS") == nullptr) {
    return expect_sound({.streams = 1, .pieces_of_one = 4, .blocks = 2, .much = 2});
  }
  expect_sound({.streams = 2, .pieces = 1, .pieces_of_one = 1, .blocks = 1, .much = 1});
  expect_sound({.streams = 2, .pieces = 2, .pieces_of_one = 1, .blocks = 1, .much = 1});
  expect_sound({.streams = 2, .pieces = 1, .pieces_of_one = 1, .blocks = 1, .much = 1, .cancels = true});
  expect_sound({.streams = 2, .pieces = 1, .pieces_of_one = 2, .blocks = 2, .much = 1, .cancels = true, .stuck = true});
}

TEST(StreamSimulation, many_pieces_with_cancels_and_readers_that_stop_at_random) {
  std::mt19937_64 random(test::seed());
  std::size_t steps = 0;
  for (int run = 0; run < 20'000; ++run) {
    const auto below = [&random](int bound) { return static_cast<int>(random() % static_cast<unsigned>(bound)); };
    Bounds bounds{.streams = 1 + below(kMostStreams),
                  .pieces = below(9),
                  .pieces_of_one = below(9),
                  .blocks = 2 + below(3),
                  .share = 1,
                  .much = 1 + below(3),
                  .cancels = below(2) == 0,
                  .stuck = below(3) == 0};
    bounds.share += below(bounds.blocks - 1);  // so that one is left for the other
    Model model(bounds);
    const model::Verdict verdict = walk(model, model.start(), kCast, random);
    ASSERT_EQ(verdict.fault, "") << verdict.trace;
    steps += verdict.states;
  }
  std::printf("%zu steps\n", steps);
}

struct Mistake {
  Bug bug;
  Bounds bounds;
  const char* fault;
};

TEST(StreamSimulation, finds_each_mistake_that_one_could_make) {
  constexpr const char* kStalls = "a stream that is read goes on to its end";
  constexpr Bounds kOne{.streams = 1, .pieces_of_one = 2, .blocks = 1, .much = 1};
  constexpr Bounds kTwo{.streams = 2, .pieces = 1, .pieces_of_one = 1, .blocks = 1, .much = 1};
  constexpr Bounds kEmpty{.streams = 2, .pieces = 2, .pieces_of_one = 0, .blocks = 2, .much = 1};
  constexpr Bounds kUnread{.streams = 2, .pieces = 1, .pieces_of_one = 2, .blocks = 2, .much = 2, .stuck = true};
  constexpr Bounds kGivenUp{.streams = 1, .pieces_of_one = 2, .blocks = 1, .much = 1, .cancels = true, .stuck = true};
  const Mistake mistakes[] = {
      {Bug::kRoomByReadingAlone, kEmpty, kStalls},
      {Bug::kWorkerLooksBeforeItSaysStarved, kOne, kStalls},
      {Bug::kClientLooksBeforeItReleases, kOne, kStalls},
      {Bug::kStarvedIsUnsaidWhileSomethingWaits, kOne, kStalls},
      {Bug::kWhoHasSentLooksNoMore, kTwo, kStalls},
      {Bug::kEarlyWakeCounts, kTwo, kStalls},
      {Bug::kOwedRoomIsForgotten, kOne, kStalls},
      {Bug::kOneMayHoldAll, kUnread, kStalls},
      {Bug::kTheEndWaitsForRoom, kGivenUp, "a cancelled stream ends, read or not"},
      {Bug::kCancelEndsNothing, kGivenUp, "a cancelled stream ends, read or not"},
  };
  for (const Mistake& mistake : mistakes) {
    SCOPED_TRACE(static_cast<int>(mistake.bug));
    const model::Verdict verdict = explore_streams(mistake.bounds, mistake.bug);
    EXPECT_EQ(verdict.fault, mistake.fault);
    std::printf("%zu states: %s\n", verdict.states, verdict.fault.c_str());
  }
}

}  // namespace
}  // namespace ringside::shm::stream_model
