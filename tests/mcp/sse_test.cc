#include "mcp/sse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringside::mcp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string shown(const SseEvent& event) {
  std::string out = "[" + event.event + "|" + event.data + "|" + event.id.value_or("-") + "|";
  return out + (event.retry_ms ? std::to_string(*event.retry_ms) : "-") + "]";
}

/// The events of a stream that comes in the given pieces.
std::vector<std::string> events_of(const std::vector<std::string_view>& pieces) {
  std::vector<std::string> events;
  SseParser parser(1 << 20);
  for (const std::string_view piece : pieces) {
    EXPECT_TRUE(parser.feed(piece, [&](SseEvent&& event) { events.push_back(shown(event)); }).ok());
  }
  return events;
}

TEST(Sse, fields_follow_the_grammar) {
  EXPECT_THAT(events_of({"data: a\n\n"}), ElementsAre("[|a|-|-]"));
  EXPECT_THAT(events_of({"data:a\n\n"}), ElementsAre("[|a|-|-]"));
  EXPECT_THAT(events_of({"data:  a \n\n"}), ElementsAre("[| a |-|-]"));
  EXPECT_THAT(events_of({"data: a: b\n\n"}), ElementsAre("[|a: b|-|-]"));
  EXPECT_THAT(events_of({"data: a\ndata: b\n\n"}), ElementsAre("[|a\nb|-|-]"));
  EXPECT_THAT(events_of({"data\n\n"}), ElementsAre("[||-|-]"));
  EXPECT_THAT(events_of({"data\ndata\n\n"}), ElementsAre("[|\n|-|-]"));
  EXPECT_THAT(events_of({"event: e\nid: 7\nretry: 1500\ndata: x\n\ndata: y\n\n"}),
              ElementsAre("[e|x|7|1500]", "[|y|-|-]"));
  EXPECT_THAT(events_of({"id: 7\n\n"}), ElementsAre("[||7|-]"));
  EXPECT_THAT(events_of({"id\n\n"}), ElementsAre("[|||-]"));
  EXPECT_THAT(events_of({"retry: 10\n\n"}), ElementsAre("[||-|10]"));
  EXPECT_THAT(events_of({"event: alone\n\ndata: x\n\n"}), ElementsAre("[|x|-|-]"));
  EXPECT_THAT(events_of({": a comment\ndata: x\nunknown: y\nData: z\n data: w\n\n"}), ElementsAre("[|x|-|-]"));
  EXPECT_THAT(events_of({"\n\n: ping\n\n\r\n\r\r"}), IsEmpty());
  EXPECT_THAT(events_of({"data: without an end\n"}), IsEmpty());
}

TEST(Sse, a_field_that_makes_no_sense_is_left_out) {
  EXPECT_THAT(events_of({"retry: 1x\nretry: \nretry: -1\nretry: +1\nretry: 1.5\ndata: x\n\n"}),
              ElementsAre("[|x|-|-]"));
  EXPECT_THAT(events_of({"retry: 99999999999999999999\n\n"}), ElementsAre("[||-|2147483647]"));
  EXPECT_THAT(events_of({std::string_view("id: a\0b\ndata: x\n\n", 18)}), ElementsAre("[|x|-|-]"));
}

TEST(Sse, a_byte_order_mark_is_skipped_once_and_at_the_start_only) {
  EXPECT_THAT(events_of({"\xEF\xBB\xBF"
                         "data: a\n\n\xEF\xBB\xBF"
                         "data: b\n\n"}),
              ElementsAre("[|a|-|-]"));
  EXPECT_THAT(events_of({"\xEF\xBB\xBF\xEF\xBB\xBF"
                         "data: a\n\ndata: b\n\n"}),
              ElementsAre("[|b|-|-]"));
  EXPECT_THAT(events_of({"\n\xEF\xBB\xBF"
                         "data: a\n\n"}),
              IsEmpty());
}

TEST(Sse, bytes_may_be_split_anywhere) {
  const std::string sample =
      "\xEF\xBB\xBF"
      "event: a\r\ndata: 😀 one\r\ndata: two\r\n\r\n"
      "id: 1\rdata: {\"x\":\"é\"}\r\rdata: lf\n\ndata: mixed\r\n\ndata\r\rretry: 5\n\r\n: c\r\ndata: €\n\r";
  const std::vector<std::string> expected = {
      "[a|😀 one\ntwo|-|-]", "[|{\"x\":\"é\"}|1|-]", "[|lf|-|-]", "[|mixed|-|-]", "[||-|-]", "[||-|5]", "[|€|-|-]"};
  EXPECT_EQ(events_of({sample}), expected);
  const std::string_view view = sample;
  for (std::size_t i = 0; i <= view.size(); ++i) {
    for (std::size_t j = i; j <= view.size(); ++j) {
      ASSERT_EQ(events_of({view.substr(0, i), view.substr(i, j - i), view.substr(j)}), expected) << i << " " << j;
    }
  }
  std::vector<std::string_view> bytes;
  for (std::size_t i = 0; i < view.size(); ++i) bytes.push_back(view.substr(i, 1));
  EXPECT_EQ(events_of(bytes), expected);
}

TEST(Sse, an_event_over_the_limit_ends_the_parser_wherever_it_is_split) {
  const auto feeds_well = [](std::string_view stream, std::size_t step) {
    SseParser parser(10);
    for (std::size_t at = 0; at < stream.size(); at += step) {
      const Status status = parser.feed(stream.substr(at, step), [](SseEvent&&) {});
      if (status.ok()) continue;
      EXPECT_EQ(status.error().code, Code::kTooLarge);
      EXPECT_EQ(parser.feed("data: x\n\n", [](SseEvent&&) { ADD_FAILURE(); }).error().code, Code::kTooLarge);
      return false;
    }
    return true;
  };
  for (const std::size_t step : {1U, 2U, 3U, 100U}) {
    EXPECT_TRUE(feeds_well("data: 1234\n\ndata: 1234\r\n\r\n", step));
    EXPECT_FALSE(feeds_well("data: 12345\n\n", step));
    EXPECT_FALSE(feeds_well("data: 1\ndata: 2\ndata: 3\ndata: 4\n\n", step));
    EXPECT_FALSE(feeds_well(": a long comment\n", step));
    EXPECT_FALSE(feeds_well(std::string(100, 'x'), step));
    EXPECT_TRUE(feeds_well("id:123\nevent:\n\n", step));
    EXPECT_FALSE(feeds_well("id:1234567\ndata:\n\n", step));
  }
}

TEST(Sse, what_is_formatted_is_read_again) {
  EXPECT_EQ(format_sse("{}"), "data: {}\n\n");
  EXPECT_EQ(format_sse("a\nb\r\nc\rd\n", "message", "7"),
            "event: message\nid: 7\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
  EXPECT_EQ(format_sse("", "x\ndata: forged", "1\r"), "data: \n\n");
  EXPECT_THAT(events_of({format_sse(" a\n\nb", "e", "i")}), ElementsAre("[e| a\n\nb|i|-]"));
}

std::vector<std::string> lines_of(const std::vector<std::string_view>& pieces) {
  std::vector<std::string> lines;
  LineSplitter splitter(100);
  for (const std::string_view piece : pieces) {
    EXPECT_TRUE(splitter.feed(piece, [&](std::string_view line) { lines.emplace_back(line); }).ok());
  }
  return lines;
}

TEST(Lines, end_at_a_line_feed_wherever_bytes_are_split) {
  const std::string_view sample = "one\n\ntwo é\r\nthree\rstill three\n\r\nlast";
  const std::vector<std::string> expected = {"one", "", "two é", "three\rstill three", ""};
  for (std::size_t i = 0; i <= sample.size(); ++i) {
    for (std::size_t j = i; j <= sample.size(); ++j) {
      ASSERT_EQ(lines_of({sample.substr(0, i), sample.substr(i, j - i), sample.substr(j)}), expected) << i << " " << j;
    }
  }
}

TEST(Lines, over_the_limit_end_the_splitter_wherever_they_are_split) {
  const auto feeds_well = [](std::string_view stream, std::size_t step) {
    LineSplitter splitter(5);
    for (std::size_t at = 0; at < stream.size(); at += step) {
      const Status status = splitter.feed(stream.substr(at, step), [](std::string_view) {});
      if (status.ok()) continue;
      EXPECT_EQ(status.error().code, Code::kTooLarge);
      EXPECT_FALSE(splitter.feed("x\n", [](std::string_view) { ADD_FAILURE(); }).ok());
      return false;
    }
    return true;
  };
  for (const std::size_t step : {1U, 2U, 3U, 100U}) {
    EXPECT_TRUE(feeds_well("12345\n12345\r\n\r\n1234\r\n", step));
    EXPECT_FALSE(feeds_well("123456\n", step));
    EXPECT_FALSE(feeds_well("123456\r\n", step));
    EXPECT_FALSE(feeds_well("123456", step));
    EXPECT_FALSE(feeds_well("12345\rx\n", step));
  }
}

}  // namespace
}  // namespace ringside::mcp
