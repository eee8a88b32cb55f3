// A segment in reserve.

#include <gtest/gtest.h>

#include "shm/segment_reserve.h"
#include "tests/support/process.h"

namespace ringside::shm {
namespace {

TEST(SegmentReserve, gives_a_segment_whether_it_has_one_or_not) {
  SegmentReserve reserve(kMinSegmentBytes);
  for (int round = 0; round < 8; ++round) {
    if (round % 2 == 1) reserve.refill();
    const auto segment = reserve.take();
    ASSERT_TRUE(segment.ok()) << segment.error().message;
    EXPECT_EQ(segment->size(), kMinSegmentBytes);
    EXPECT_EQ(segment->data()[0], std::byte{0});
  }
}

TEST(SegmentReserve, has_a_spare_one_soon_after_it_was_asked_for) {
  SegmentReserve reserve(kMinSegmentBytes);
  EXPECT_EQ(reserve.spares(), 0U);
  reserve.refill();
  EXPECT_TRUE(test::eventually([&] { return reserve.spares() == 1; }));
  reserve.refill();
  ASSERT_TRUE(reserve.take().ok());
  EXPECT_EQ(reserve.spares(), 0U) << "one is enough";
}

TEST(SegmentReserve, says_why_there_is_none) {
  SegmentReserve reserve(kMinSegmentBytes / 2);
  reserve.refill();
  const auto segment = reserve.take();
  ASSERT_FALSE(segment.ok());
  EXPECT_EQ(segment.error().code, Code::kInvalid);
}

}  // namespace
}  // namespace ringside::shm
