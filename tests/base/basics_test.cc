// The small pieces: descriptors, clocks, randomness, log lines.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace ringside {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

UniqueFd opened() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(UniqueFd, closes_what_it_owns_once) {
  int number = -1;
  {
    const UniqueFd fd = opened();
    ASSERT_TRUE(fd.valid());
    number = fd.get();
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
  EXPECT_FALSE(UniqueFd().valid());
}

TEST(UniqueFd, moves_and_leaves_nothing_behind) {
  UniqueFd first = opened();
  const int number = first.get();
  UniqueFd second(std::move(first));
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that is the promise
  EXPECT_EQ(second.get(), number);
  UniqueFd third = opened();
  const int replaced = third.get();
  third = std::move(second);
  EXPECT_FALSE(is_open(replaced));
  EXPECT_EQ(third.get(), number);
  UniqueFd& itself = third;
  third = std::move(itself);
  EXPECT_TRUE(is_open(number));
  third.reset();
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, gives_a_descriptor_away) {
  int number = -1;
  {
    UniqueFd fd = opened();
    number = fd.release();
    EXPECT_FALSE(fd.valid());
  }
  EXPECT_TRUE(is_open(number));
  const UniqueFd closer(number);
}

TEST(Clock, a_fake_one_moves_only_when_told_to) {
  FakeClock clock;
  const SteadyTime then = clock.now();
  const std::int64_t wall = clock.wall_ms();
  EXPECT_EQ(clock.now(), then);
  clock.advance(std::chrono::milliseconds(1500));
  EXPECT_EQ(clock.now() - then, std::chrono::milliseconds(1500));
  EXPECT_EQ(clock.wall_ms() - wall, 1500);
}

TEST(Clock, the_machines_own_does_not_run_backwards) {
  const SteadyTime then = system_clock().now();
  EXPECT_GE(system_clock().now(), then);
  EXPECT_GT(system_clock().wall_ms(), 1'600'000'000'000);
}

TEST(Random, uuids_have_their_form_and_do_not_repeat) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = random_uuid4();
    EXPECT_THAT(uuid, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_TRUE(seen.insert(uuid).second);
  }
  EXPECT_NE(random_u64(), random_u64());
}

TEST(Log, a_strangers_text_stays_on_its_line) {
  EXPECT_EQ(log::printable("plain é"), "plain é");
  EXPECT_EQ(log::printable("a\nb\r\x1b[31m\x7f"), "a\\x0ab\\x0d\\x1b[31m\\x7f");
  EXPECT_EQ(log::printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(log::printable("12345", 5), "12345");
  EXPECT_EQ(log::printable("123456", 5), "12345…");
  EXPECT_EQ(log::printable(""), "");
}

std::string logged_at(const char* level) {
  testing::internal::CaptureStderr();
  log::init("program", level);
  log::debug("a debug line");
  log::info("an info line n={}", 7);
  log::warn("a warning");
  log::error("an error");
  return testing::internal::GetCapturedStderr();
}

TEST(Log, says_as_much_as_its_level) {
  EXPECT_THAT(logged_at("debug"), HasSubstr("debug program["));
  for (const char* level : {"info", "INFO", "nonsense", ""}) {
    const std::string text = logged_at(level);
    EXPECT_THAT(text, HasSubstr("]: an info line n=7\n")) << level;
    EXPECT_THAT(text, Not(HasSubstr("a debug line"))) << level;
  }
  EXPECT_THAT(logged_at("Warn"), Not(HasSubstr("an info line")));
  EXPECT_THAT(logged_at("error"), Not(HasSubstr("a warning")));
  EXPECT_EQ(logged_at("OFF"), "");
  log::init("base_test", "info");
}

TEST(Text, only_ascii_letters_become_lower_case) { EXPECT_EQ(ascii_lower("X-\xC9@[Z09"), "x-\xC9@[z09"); }

TEST(Text, hex_is_read_in_either_case_and_written_in_lower_case) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    text.clear();
    append_hex(text, static_cast<unsigned char>(byte));
    EXPECT_EQ(hex_value(text[0]) * 16 + hex_value(text[1]), byte) << text;
    EXPECT_EQ(text, ascii_lower(text));
  }
  EXPECT_EQ(hex_value('F'), 15);
  for (const char c : {'/', ':', '@', 'G', '`', 'g', '\0'}) EXPECT_EQ(hex_value(c), -1);
}

}  // namespace
}  // namespace ringside
