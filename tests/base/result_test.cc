#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace ringside {
namespace {

constexpr Error kNo{Code::kFull, 11, "no room"};

Result<int> half(int number) {
  if (number % 2 != 0) return Error{Code::kInvalid, 0, "odd"};
  return number / 2;
}

Result<std::string> quarter(int number) {
  const int once = RS_TRY(half(number));
  return std::to_string(RS_TRY(half(once)));
}

Status check_even(int number) {
  RS_TRY_STATUS(half(number).ok() ? Status() : Status(kNo));
  return {};
}

Result<int> doubled_if_even(int number) {
  RS_TRY_STATUS(check_even(number));
  return number * 2;
}

TEST(Result, holds_a_value_or_an_error) {
  Result<std::string> good(std::string("text"));
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(*good, "text");
  EXPECT_EQ(good->size(), 4U);
  *good += "!";
  EXPECT_EQ(std::as_const(good).value(), "text!");
  EXPECT_EQ(std::move(good).value(), "text!");

  const Result<std::string> bad(kNo);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, Code::kFull);
  EXPECT_EQ(bad.error().os_error, 11);
  EXPECT_EQ(bad.error().message, "no room");
}

TEST(Result, carries_what_can_only_be_moved) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 7);
}

TEST(Result, try_gives_the_value_or_leaves_with_the_error) {
  EXPECT_EQ(*quarter(8), "2");
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_EQ(*doubled_if_even(4), 8);
  EXPECT_EQ(doubled_if_even(3).error().code, Code::kFull);
  EXPECT_TRUE(check_even(2).ok());
  EXPECT_FALSE(static_cast<bool>(check_even(1)));
}

TEST(ResultDeathTest, the_wrong_question_is_a_bug_of_ours) {
  const Result<int> bad(kNo);
  const Result<int> good(1);
  const Status fine;
  EXPECT_DEATH((void)bad.value(), "value\\(\\) of a failed Result");
  EXPECT_DEATH((void)good.error(), "error\\(\\) of a good Result");
  EXPECT_DEATH((void)fine.error(), "error\\(\\) of a good Status");
}

}  // namespace
}  // namespace ringside
