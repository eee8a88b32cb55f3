#include "mcp/message.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringside::mcp {
namespace {

TEST(Headers, keep_their_order_and_one_value_a_name) {
  Headers headers;
  EXPECT_TRUE(headers.empty());
  headers.set("Content-Type", "text/html");
  headers.set("X-Ä-Test", "kept");
  headers.set("accept", "*/*");
  headers.set("CONTENT-TYPE", "application/json");
  EXPECT_EQ(headers.size(), 3U);
  const std::vector<Headers::Item> items(headers.begin(), headers.end());
  const std::vector<Headers::Item> expected = {
      {"content-type", "application/json"}, {"x-Ä-test", "kept"}, {"accept", "*/*"}};
  EXPECT_EQ(items, expected);
}

TEST(Headers, tell_an_empty_value_from_none) {
  Headers headers;
  headers.set("a", "");
  ASSERT_NE(headers.find("a"), nullptr);
  EXPECT_EQ(*headers.find("a"), "");
  EXPECT_EQ(headers.get("a"), "");
  EXPECT_EQ(headers.find("b"), nullptr);
  EXPECT_EQ(headers.get("b"), "");
}

TEST(Headers, names_are_tokens) {
  for (const char* name : {"a", "A1", "x-y_z", "!#$%&'*+-.^_`|~"}) EXPECT_TRUE(is_valid_header(name, "v")) << name;
  for (const char* name : {"", " ", "a b", "a:", "a\n", "é", "(a)", "a\x7f", "{a}", "a/b", "a=b", "\"a\""}) {
    EXPECT_FALSE(is_valid_header(name, "v")) << name;
  }
  EXPECT_FALSE(is_valid_header(std::string_view("a\0b", 3), "v"));
}

TEST(Headers, values_hold_no_control_bytes_but_tab) {
  for (const char* value : {"", "a b", "a\tb", "\xE9", "\"q\"; x=1"}) EXPECT_TRUE(is_valid_header("n", value)) << value;
  for (const char* value : {"a\r\nb: c", "a\n", "\x01", "\x7f"}) EXPECT_FALSE(is_valid_header("n", value)) << value;
  EXPECT_FALSE(is_valid_header("n", std::string_view("a\0b", 3)));
}

TEST(PaddedCopy, keeps_room_behind_its_end) {
  for (const std::size_t size : {0U, 1U, 15U, 16U, 4096U}) {
    const std::string bytes(size, 'x');
    const std::string copy = padded_copy(bytes);
    EXPECT_EQ(copy, bytes);
    EXPECT_GE(copy.capacity() - copy.size(), kBodyPadding);
  }
}

}  // namespace
}  // namespace ringside::mcp
