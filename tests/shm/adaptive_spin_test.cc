// Spinning as long as it pays.

#include "shm/adaptive_spin.h"

#include <gtest/gtest.h>

namespace ringside::shm {
namespace {

using std::chrono::microseconds;

TEST(AdaptiveSpin, goes_to_the_bound_while_it_pays) {
  AdaptiveSpin spin(microseconds(64));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(spin.length(), microseconds(64));
    spin.paid();
  }
}

TEST(AdaptiveSpin, shrinks_while_it_is_in_vain_and_never_to_nothing) {
  AdaptiveSpin spin(microseconds(64));
  for (int i = 0; i < 10; ++i) spin.slept(std::chrono::milliseconds(5));
  EXPECT_EQ(spin.length(), microseconds(1));
}

TEST(AdaptiveSpin, grows_back_at_once_when_it_would_have_paid) {
  AdaptiveSpin spin(microseconds(64));
  for (int i = 0; i < 10; ++i) spin.slept(std::chrono::milliseconds(5));
  spin.slept(microseconds(20));
  EXPECT_EQ(spin.length(), microseconds(64));
  spin.slept(microseconds(1));
  EXPECT_EQ(spin.length(), microseconds(32)) << "a look to the bound was not enough";
}

TEST(AdaptiveSpin, that_is_off_stays_off) {
  AdaptiveSpin spin(Duration::zero());
  spin.paid();
  spin.slept(Duration::zero());
  EXPECT_EQ(spin.length(), Duration::zero());
}

}  // namespace
}  // namespace ringside::shm
