#include "mcp/json_grammar.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "mcp/envelope.h"
#include "mcp/message.h"

namespace ringside::mcp {
namespace {

using std::string_literals::operator""s;

/// The grammar, and the parser in front of it, as an array's element.
void expect_verdict(const std::string& text, bool valid) {
  EXPECT_EQ(is_json_text(text), valid) << text;
  EnvelopeReader reader;
  Envelope envelope;
  const EnvelopeFault expected = valid ? EnvelopeFault::kBatch : EnvelopeFault::kParse;
  EXPECT_EQ(reader.read(padded_copy("[" + text + "]"), envelope), expected) << text;
  // A number that only the grammar takes must not change the verdict on its neighbours.
  EXPECT_EQ(reader.read(padded_copy("[1e999," + text + "]"), envelope), expected) << text;
}

const std::vector<std::string> kValid = {
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "1.5",
    "-0.0",
    "1e2",
    "1E2",
    "1e+2",
    "1E-2",
    "0e0",
    "0.1e01",
    "1e00",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "true",
    "false",
    "null",
    R"("")",
    R"("a")",
    R"("\"")",
    R"("\\")",
    R"("\/")",
    R"("\b\f\n\r\t")",
    R"("\u0000")",
    R"("\u00E9\uabcd")",
    R"("\ud83d\ude00")",
    "\"\x7f\"",
    "\"é\"",
    "\"€\"",
    "\"😀\"",
    "\"\xEE\x80\x80\"",
    "\"\xF4\x8F\xBF\xBF\"",
    "\"/* no comment */\"",
    "[]",
    "[[]]",
    "[1]",
    "[1,2]",
    "[ 1 , 2 ]",
    "{}",
    R"({"a":1})",
    R"({"a":{}})",
    R"({"":0})",
    R"({"a":1,"a":2})",
    R"({"a":[1,{"b":null}]})",
    " 1",
    "1 ",
    "\n1\r\n\t ",
    "\t[\n]\r",
    R"([""])",
    R"(["a","b"])",
    R"({"x" : [ true , false , null ] })",
    R"("12345678")",
    R"("1234567\"9")",
};

const std::vector<std::string> kInvalid = {
    "01",
    "-01",
    "1.",
    ".5",
    "-.5",
    "+1",
    "--1",
    "-",
    "1e",
    "1e+",
    "1E-",
    "e1",
    "1.e1",
    "0x1",
    "1_0",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "1 2",
    "1,",
    ",1",
    "tru",
    "True",
    "truth",
    "nul",
    "nulll",
    "fals",
    "undefined",
    "'a'",
    "a",
    R"(")",
    R"("a)",
    R"("\")",
    R"("\x41")",
    R"("\a")",
    R"("\u")",
    R"("\u12")",
    R"("\u12G4")",
    R"("\U0041")",
    R"("a"b)",
    "\"\n\"",
    "\"\t\"",
    "\"\x01\"",
    "\"\x1f\"",
    "\"\0\""s,
    "\0"s,
    "\"\x80\"",
    "\"\xFF\"",
    "\"\xC0\xAF\"",
    "\"\xC3\"",
    "\"\xE2\x82\"",
    "\"\xED\xA0\x80\"",
    "\"\xF4\x90\x80\x80\"",
    "\"\xF0\x80\x80\x80\"",
    "\xC2\xA0"
    "1",
    "[",
    "]",
    "[1",
    "1]",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "[1}",
    "{1]",
    "{",
    "}",
    "{}}",
    "[[]",
    R"({"a"})",
    R"({"a":})",
    R"({"a":1,})",
    R"({,"a":1})",
    R"({"a":1 "b":2})",
    R"({"a" 1})",
    R"({"a"::1})",
    R"({a:1})",
    R"({'a':1})",
    R"({1:1})",
    R"({"a":1]})",
    R"({[]:1})",
    R"({"a":1,,"b":2})",
    "/* c */ 1",
    "1 // c",
    "1 # c",
    "\v1",
    "\f1",
    "[1]x",
    R"({"a":1}x)",
    R"({"a":tru})",
    "[\"a\xFF\"]",
    "{\"a\xFF\":1}",
    "\"12345678",
    "\"1234567\n\"",
    "\"\xE2\x28\xA1\"",
};

TEST(Grammar, takes_what_the_rfc_takes) {
  for (const std::string& text : kValid) {
    ASSERT_TRUE(nlohmann::json::accept(text)) << text;
    expect_verdict(text, true);
  }
}

TEST(Grammar, refuses_what_the_rfc_refuses) {
  for (const std::string& text : kInvalid) {
    ASSERT_FALSE(nlohmann::json::accept(text)) << text;
    expect_verdict(text, false);
  }
  for (const std::string& blank : {""s, " "s, "\t\n"s}) EXPECT_FALSE(is_json_text(blank));
}

/// The reference takes these: it skips a byte order mark, and a zero byte ends its input.
TEST(Grammar, refuses_a_byte_order_mark_and_a_zero_byte_behind_the_end) {
  expect_verdict("\xEF\xBB\xBF[1]", false);
  expect_verdict("1\0"s, false);
  expect_verdict("[]\0\0"s, false);
}

TEST(Grammar, has_no_opinion_on_size_or_on_half_a_pair) {
  for (const std::string& text : {"1e400"s, "-1e400"s, "1e-400"s, "1E99999999999999999999"s,
                                  "123456789012345678901234567890"s, "-9223372036854775809"s, "18446744073709551616"s,
                                  std::string(5000, '9'), "0." + std::string(5000, '3') + "e-4000", R"("\ud83d")"s,
                                  R"("\ude00")"s, R"("\ud83d\ud83d")"s, R"("\ud83d\n")"s}) {
    expect_verdict(text, true);
  }
}

TEST(Grammar, looks_at_every_byte_of_a_long_string) {
  const std::string plain(40, 'a');
  for (std::size_t at = 0; at < plain.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string inside = plain;
      inside[at] = static_cast<char>(byte);
      const bool valid = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
      const std::string text = "\"" + inside + "\"";
      EXPECT_EQ(is_json_text(text), valid) << text;
    }
  }
}

TEST(Grammar, counts_containers_of_both_kinds) {
  std::string open;
  std::string close;
  for (std::size_t i = 0; i < kMaxDepth / 2; ++i) {
    open += R"([{"k":)";
    close += "}]";
  }
  EXPECT_TRUE(is_json_text(open + "1" + close));
  EXPECT_FALSE(is_json_text(open + "[]" + close));
  EXPECT_FALSE(is_json_text(open + R"({"a":1})" + close));
  EXPECT_TRUE(is_json_text("[" + open.substr(0, open.size() - 6) + "[1,2]" + close.substr(2) + ",[{}],3]"));
}

}  // namespace
}  // namespace ringside::mcp
