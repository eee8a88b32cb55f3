#include "shm/block_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "rings.h"

namespace ringside::shm {
namespace {

TEST(BlockPool, hands_out_the_first_run_that_is_long_enough) {
  BlockPool pool(10);
  EXPECT_EQ(pool.take(3), 0U);
  EXPECT_EQ(pool.take(3), 3U);
  EXPECT_EQ(pool.take(3), 6U);
  pool.give(0, 3);
  EXPECT_EQ(pool.take(4), std::nullopt) << "four are free, but not in one run";
  EXPECT_EQ(pool.take(2), 0U);
  EXPECT_EQ(pool.take(1), 2U);
  EXPECT_EQ(pool.take(1), 9U);
  EXPECT_EQ(pool.take(1), std::nullopt);
  EXPECT_EQ(pool.free(), 0U);
}

TEST(BlockPool, a_run_may_cross_words_and_fill_the_largest_pool) {
  BlockPool pool(kMaxBlocks);
  EXPECT_EQ(pool.take(63), 0U);
  EXPECT_EQ(pool.take(130), 63U);
  EXPECT_EQ(pool.take(kMaxBlocks - 193), 193U);
  EXPECT_EQ(pool.take(1), std::nullopt);
  pool.give(63, 130);
  EXPECT_EQ(pool.take(131), std::nullopt);
  EXPECT_EQ(pool.take(130), 63U);
  pool.give(0, 63);
  pool.give(63, 130);
  pool.give(193, kMaxBlocks - 193);
  EXPECT_EQ(pool.take(kMaxBlocks), 0U);
}

TEST(BlockPool, never_hands_out_a_block_twice_whatever_the_order) {
  std::mt19937_64 random(test::seed());
  constexpr std::uint32_t kBlocks = 300;
  BlockPool pool(kBlocks);
  std::vector<bool> used(kBlocks, false);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> runs;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      const auto count = static_cast<std::uint32_t>(1 + random() % 40);
      const auto first = pool.take(count);
      if (!first) continue;
      ASSERT_LE(*first + count, kBlocks);
      for (std::uint32_t i = *first; i < *first + count; ++i) {
        ASSERT_FALSE(used[i]);
        used[i] = true;
      }
      runs.emplace_back(*first, count);
    } else if (!runs.empty()) {
      std::swap(runs[random() % runs.size()], runs.back());
      const auto [first, count] = runs.back();
      runs.pop_back();
      pool.give(first, count);
      for (std::uint32_t i = first; i < first + count; ++i) used[i] = false;
    }
    ASSERT_EQ(pool.free(), static_cast<std::uint32_t>(std::count(used.begin(), used.end(), false)));
  }
}

TEST(BlockPoolDeathTest, a_run_given_back_twice_is_our_bug) {
  BlockPool pool(10);
  ASSERT_EQ(pool.take(2), 0U);
  pool.give(0, 2);
  EXPECT_DEATH(pool.give(0, 2), "was in use");
  EXPECT_DEATH(pool.give(9, 2), "lies in the pool");
}

TEST(Run, arithmetic_does_not_wrap_around) {
  constexpr std::uint64_t kMost64 = ~std::uint64_t{0};
  EXPECT_EQ(blocks_needed(0, 0), 0U);
  EXPECT_EQ(blocks_needed(1, 0), 1U);
  EXPECT_EQ(blocks_needed(64, kBlockBytes - 64), 1U);
  EXPECT_EQ(blocks_needed(65, kBlockBytes - 128), 1U);
  EXPECT_EQ(blocks_needed(65, kBlockBytes - 127), 2U);
  EXPECT_EQ(blocks_needed(0, kMost64), std::nullopt);
  EXPECT_EQ(blocks_needed(kMost64, 1), std::nullopt);
  EXPECT_EQ(blocks_needed(0, std::uint64_t{kMaxBlocks} * kBlockBytes), kMaxBlocks);
  EXPECT_EQ(blocks_needed(1, std::uint64_t{kMaxBlocks} * kBlockBytes), std::nullopt);
  EXPECT_TRUE(run_within(0, 10, 10));
  EXPECT_TRUE(run_within(10, 0, 10));
  EXPECT_FALSE(run_within(1, 10, 10));
  EXPECT_FALSE(run_within(11, 0, 10));
  EXPECT_FALSE(run_within(5, ~0U, 10));
  EXPECT_FALSE(run_within(~0U, 2, 10));
}

}  // namespace
}  // namespace ringside::shm
