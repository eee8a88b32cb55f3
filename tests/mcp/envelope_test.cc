#include "mcp/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mcp/message.h"

namespace ringside::mcp {
namespace {

using ::testing::ElementsAre;

std::string nested(std::size_t depth, char open, char close) {
  return std::string(depth, open) + std::string(depth, close);
}

/// A request whose params' innermost value lies in `depth` containers.
std::string request_of_depth(std::size_t depth, std::string_view innermost) {
  const std::size_t inside = depth - 1;
  return R"({"jsonrpc":"2.0","id":1,"method":"m","params":)" + std::string(inside, '[') + std::string(innermost) +
         std::string(inside, ']') + "}";
}

/// Reads the same body with and without room behind it, and by a reader that has read others before.
class Reading : public ::testing::Test {
 protected:
  EnvelopeFault read(std::string_view text) {
    body_ = padded_copy(text);
    Envelope tight_envelope;
    std::string tight(text);
    tight.shrink_to_fit();
    EnvelopeReader fresh;
    const EnvelopeFault tight_fault = fresh.read(tight, tight_envelope);
    const EnvelopeFault fault = reader_.read(body_, envelope_);
    EXPECT_EQ(fault, tight_fault) << text;
    EXPECT_EQ(envelope_.id, tight_envelope.id) << text;
    EXPECT_EQ(envelope_.params, tight_envelope.params) << text;
    return fault;
  }

  std::string param(std::string_view key) {
    const auto value = reader_.param(key);
    if (!value) return "twice";
    return *value ? std::string(**value) : "absent";
  }

  EnvelopeReader reader_;
  Envelope envelope_;
  std::string body_;
};

struct Row {
  const char* text;
  EnvelopeFault fault;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.text; }

class Faults : public Reading, public ::testing::WithParamInterface<Row> {};

TEST_P(Faults, are_told_as_the_contract_has_them) { EXPECT_EQ(read(GetParam().text), GetParam().fault); }

constexpr auto kNone = EnvelopeFault::kNone;
constexpr auto kParse = EnvelopeFault::kParse;
constexpr auto kBatch = EnvelopeFault::kBatch;
constexpr auto kInvalid = EnvelopeFault::kInvalid;

INSTANTIATE_TEST_SUITE_P(
    Json, Faults,
    ::testing::Values(Row{"", kParse}, Row{" ", kParse}, Row{"{", kParse}, Row{"}", kParse}, Row{"nope", kParse},
                      Row{"{} {}", kParse}, Row{R"({"jsonrpc":"2.0","id":1,"method":"m",})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m"} x)", kParse},
                      Row{R"({"jsonrpc":"2.0","id":01,"method":"m"})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":{nope}})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1e400}})", kNone},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1e400}}})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1e400,}})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":[1e400,01]})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":[123456789012345678901234567890,-0,1E+2]})",
                          kNone},
                      Row{R"({"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m"})", kNone},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":["\ud83d"]})", kNone},
                      Row{"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}", kParse},
                      Row{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\xC0\xAF\"}", kParse},
                      Row{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"k\xFF\":1}", kParse},
                      Row{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"k\xFF\":1e400}", kParse},
                      Row{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\x01\"}", kParse}));

INSTANTIATE_TEST_SUITE_P(
    DuplicateKeys, Faults,
    ::testing::Values(Row{R"({"jsonrpc":"2.0","id":1,"method":"a","method":"b"})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"\u006dethod":"a","m\u0065thod":"b"})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"a","x":1,"x":1})", kParse},
                      Row{R"({"x":1,"x":1})", kParse}, Row{R"({"jsonrpc":"1","a\/b":1,"a/b":1})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1e400,"method":"a","id":1})", kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"a","1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,)"
                          R"("9":0,"10":0,"11":0,"12":0,"13":0,"14":0,"15":0,"3":0})",
                          kParse},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"a","1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,)"
                          R"("9":0,"10":0,"11":0,"12":0,"13":0,"14":0,"15":0,"16":0})",
                          kNone},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"a","Method":"b"})", kNone},
                      Row{R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1,"x":2}})", kNone}));

INSTANTIATE_TEST_SUITE_P(Batches, Faults,
                         ::testing::Values(Row{"[]", kBatch}, Row{" [ ] ", kBatch},
                                           Row{R"([{"jsonrpc":"2.0"}])", kBatch}, Row{"[1e400]", kBatch},
                                           Row{"[1,]", kParse}, Row{"[", kParse}, Row{"[1e400,]", kParse},
                                           Row{"[] []", kParse}));

INSTANTIATE_TEST_SUITE_P(JsonRpc, Faults,
                         ::testing::Values(Row{"1", kInvalid}, Row{"null", kInvalid}, Row{R"("text")", kInvalid},
                                           Row{"1e400", kInvalid}, Row{"{}", kInvalid},
                                           Row{R"({"jsonrpc":"2.0"})", kInvalid},
                                           Row{R"({"id":1,"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":"1.0","id":1,"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":2.0,"id":1,"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":"2\u002e0","id":1,"method":"m"})", kNone},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":7})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":null})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":null,"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":true,"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":{},"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":[1],"method":"m"})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":-1.5,"method":"m"})", kNone},
                                           Row{R"({"jsonrpc":"2.0","id":"","method":"m"})", kNone},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":7})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":null})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":"x"})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":"m","params":[]})", kNone},
                                           Row{R"({"jsonrpc":"2.0","id":1,"method":"m","result":1})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":1,"result":null})", kNone},
                                           Row{R"({"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}})", kNone},
                                           Row{R"({"jsonrpc":"2.0","id":1,"result":1,"error":{}})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","result":1})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":null,"result":1})", kInvalid},
                                           Row{R"({"jsonrpc":"2.0","id":1})", kInvalid}));

TEST_F(Reading, gives_the_bytes_that_came) {
  ASSERT_EQ(
      read(" {\n\"params\" : { \"b\":1e2, \"a\" :12345678901234567890 } ,\"id\": \"\\u0031\" , \"extra\":[1,{}],\t"
           "\"method\":\"tools\\/call\",\"jsonrpc\":\"2.0\"} \r\n"),
      kNone);
  EXPECT_EQ(envelope_.kind, Envelope::Kind::kRequest);
  EXPECT_EQ(envelope_.method, "tools/call");
  EXPECT_EQ(envelope_.id, R"("\u0031")");
  EXPECT_EQ(envelope_.params, R"({ "b":1e2, "a" :12345678901234567890 })");
  EXPECT_GE(envelope_.params.data(), body_.data());
  EXPECT_LT(envelope_.params.data(), body_.data() + body_.size());
  EXPECT_EQ(param("b"), "1e2");
  EXPECT_EQ(param("a"), "12345678901234567890");
  EXPECT_EQ(param("c"), "absent");
}

TEST_F(Reading, tells_requests_notifications_and_responses_apart) {
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","method":"notifications/initialized"})"), kNone);
  EXPECT_EQ(envelope_.kind, Envelope::Kind::kNotification);
  EXPECT_TRUE(envelope_.id.empty());
  EXPECT_TRUE(envelope_.params.empty());
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":7,"result":{"ok":true}})"), kNone);
  EXPECT_EQ(envelope_.kind, Envelope::Kind::kResponse);
  EXPECT_TRUE(envelope_.method.empty());
  EXPECT_EQ(envelope_.result, R"({"ok":true})");
  EXPECT_TRUE(envelope_.error.empty());
  ASSERT_EQ(read(R"({"error":{"code":-1},"jsonrpc":"2.0","id":"x"})"), kNone);
  EXPECT_EQ(envelope_.error, R"({"code":-1})");
  EXPECT_TRUE(envelope_.result.empty());
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":7,"method":"ping"})"), kNone);
  EXPECT_EQ(envelope_.kind, Envelope::Kind::kRequest);
  EXPECT_TRUE(envelope_.error.empty());
}

TEST_F(Reading, takes_exactly_1024_levels) {
  for (const std::string_view innermost : {"", "1", "{}", R"({"a":1})"}) {
    const std::size_t own = innermost.starts_with('{') ? 1 : 0;
    EXPECT_EQ(read(request_of_depth(1024 - own, innermost)), kNone) << innermost;
    EXPECT_EQ(read(request_of_depth(1025 - own, innermost)), kParse) << innermost;
    EXPECT_EQ(read(request_of_depth(10'000, innermost)), kParse) << innermost;
  }
  EXPECT_EQ(read(nested(1024, '[', ']')), kBatch);
  EXPECT_EQ(read(nested(1025, '[', ']')), kParse);
  EXPECT_EQ(read(std::string(1'000'000, '[')), kParse);
  EXPECT_EQ(read(request_of_depth(1024, "1e400")), kNone);
  EXPECT_EQ(read(request_of_depth(1025, "1e400")), kParse);
}

TEST_F(Reading, sees_the_byte_behind_a_zero_byte) {
  const std::string good = R"({"jsonrpc":"2.0","id":1,"method":"m","params":[1e400]})";
  using std::string_literals::operator""s;
  EXPECT_EQ(read(good + "\0"s), kParse);
  EXPECT_EQ(read(good + "\0x"s), kParse);
  EXPECT_EQ(read("{\"jsonrpc\":\"2.0\",\0\"id\":1,\"method\":\"m\"}"s), kParse);
}

TEST_F(Reading, finds_params_by_their_decoded_keys) {
  ASSERT_EQ(
      read(R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"n\u0061me":"a","arguments":{"name":"inner"},"x\"y":2}})"),
      kNone);
  EXPECT_EQ(param("name"), R"("a")");
  EXPECT_EQ(param("arguments"), R"({"name":"inner"})");
  EXPECT_EQ(param("x\"y"), "2");
  EXPECT_EQ(param("n\\u0061me"), "absent");
}

TEST_F(Reading, refuses_a_param_that_stands_twice) {
  for (const std::string_view second : {R"("name")", R"("n\u0061me")"}) {
    for (const std::string_view number : {"1", "1e400"}) {
      ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a",)" + std::string(second) +
                     R"(:"b","other":)" + std::string(number) + "}}"),
                kNone);
      EXPECT_EQ(param("name"), "twice");
      EXPECT_EQ(param("other"), number);
      EXPECT_EQ(reader_.param("name").error().code, Code::kInvalid);
    }
  }
}

TEST_F(Reading, finds_no_params_where_there_are_none) {
  EXPECT_EQ(param("name"), "absent");
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"name":1}})"), kNone);
  EXPECT_EQ(param("name"), "1");
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":1,"method":"m","params":["name",{"name":1}]})"), kNone);
  EXPECT_EQ(param("name"), "absent");
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":1,"method":"m"})"), kNone);
  EXPECT_EQ(param("name"), "absent");
  ASSERT_EQ(read("nope"), kParse);
  EXPECT_EQ(param("name"), "absent");
}

/// Where the long value stands decides how its end is found.
TEST_F(Reading, finds_long_members_wherever_they_stand) {
  const std::string quotes = R"("\\\"}],\\\\\"x":[)";
  std::string list = "[";
  while (list.size() < 5000) list += R"({"k":"}\"],","n":[1,2.5,null]},)" + std::string("\n ");
  list += "1]";
  const std::vector<std::string> long_values = {list, R"({"list":)" + list + "}",
                                                "\"" + std::string(5000, 'x') + R"(\\")", R"(["\"{",)" + list + "]"};
  const std::vector<std::string> tails = {"",
                                          R"(,"_meta":{"progressToken":"a\\\"}{","n":[[]]})",
                                          R"(, "z" : -1.5e3 , "y" : "\\" )",
                                          R"(,"a":{},"b":[],"c":"","d":0,"e":{"x":"]"},"f":[{}],"g":1,"h":2,"i":3)",
                                          R"(,"q":")" + std::string(2000, '\\') + R"("})",
                                          ","
                                          "\"big\":" +
                                              list};
  for (const std::string& value : long_values) {
    for (std::string tail : tails) {
      if (tail.ends_with("}") && tail.starts_with(",\"q\"")) tail.pop_back();
      const std::string params = R"({"name":"tool","arguments":)" + value + tail + "}";
      for (const std::string& text :
           {R"({"method":"m","params":)" + params + R"(,"jsonrpc":"2.0","id":"a\"b"})",
            R"({"jsonrpc":"2.0","id":"a\"b","method":"m","params":)" + params + "}",
            R"({"method":"m","params":)" + params + R"(,"x":1e400,"jsonrpc":"2.0","id":"a\"b"})"}) {
        ASSERT_EQ(read(text), kNone) << text;
        EXPECT_EQ(envelope_.params, params);
        EXPECT_EQ(envelope_.id, R"("a\"b")");
        EXPECT_EQ(param("arguments"), value);
        EXPECT_EQ(param("name"), R"("tool")");
      }
    }
  }
}

TEST_F(Reading, takes_large_bodies_and_small_ones_after_them) {
  const std::string large(9'000'000, 'x');
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"text":")" + large + R"("}})"), kNone);
  EXPECT_EQ(param("text").size(), large.size() + 2);
  EXPECT_EQ(read(R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"text":")" + large + "\xFF\"}}"), kParse);
  ASSERT_EQ(read(R"({"jsonrpc":"2.0","id":2,"method":"ping"})"), kNone);
  EXPECT_EQ(envelope_.id, "2");
}

TEST_F(Reading, takes_many_members_and_sees_the_last_one_twice) {
  std::string text = R"({"jsonrpc":"2.0","id":1,"method":"m")";
  for (int i = 0; i < 20'000; ++i) text += R"(,"\u006b)" + std::to_string(i) + "\":0";
  ASSERT_EQ(read(text + "}"), kNone);
  EXPECT_EQ(envelope_.method, "m");
  EXPECT_EQ(read(text + R"(,"k19999":0})"), kParse);
}

TEST(RawJson, a_member_is_found_at_the_top_only) {
  EXPECT_EQ(member(R"( {"a":{"b":1},"b" : [2] , "c":"x"} )", "b"), "[2]");
  EXPECT_EQ(member(R"({"a":1,"a":2})", "a"), "1");
  EXPECT_EQ(member(R"({"\u0061":1})", "a"), "1");
  EXPECT_EQ(member(R"({"a":1})", "b"), std::nullopt);
  EXPECT_EQ(member(R"(["a",1])", "a"), std::nullopt);
  EXPECT_EQ(member("{}", "a"), std::nullopt);
  EXPECT_EQ(member("", "a"), std::nullopt);
}

/// The callers promise valid JSON; what breaks that promise still stays within its bounds.
TEST(RawJson, a_text_cut_anywhere_is_never_read_beyond) {
  const std::string text = R"({"a":{"b":[1,"x\"y"]},"\u0061b" : "z\u00e9\ud83d\ude00", "c":-1.5e3 })";
  for (std::size_t from = 0; from < text.size(); ++from) {
    for (std::size_t size = 0; size <= text.size() - from; ++size) {
      const std::vector<char> exact(text.begin() + static_cast<std::ptrdiff_t>(from),
                                    text.begin() + static_cast<std::ptrdiff_t>(from + size));
      const std::string_view cut(exact.data(), exact.size());
      (void)member(cut, "missing");
      (void)decode_string(cut);
      (void)for_each_element(cut, [](std::string_view) {});
      const std::string as_array = "[" + std::string(cut) + "]";
      (void)for_each_element(as_array, [](std::string_view) {});
      const std::string as_object = "{" + std::string(cut) + "}";
      (void)member(as_object, "missing");
    }
  }
}

TEST(RawJson, elements_come_in_order_and_whole) {
  std::vector<std::string> seen;
  const auto collect = [&](std::string_view raw) { seen.emplace_back(raw); };
  EXPECT_TRUE(for_each_element(R"( [ 1 ,"a,]", {"x":[1,2]},[ ] , true ] )", collect));
  EXPECT_THAT(seen, ElementsAre("1", R"("a,]")", R"({"x":[1,2]})", "[ ]", "true"));
  seen.clear();
  EXPECT_TRUE(for_each_element("[ ]", collect));
  EXPECT_TRUE(seen.empty());
  EXPECT_FALSE(for_each_element(R"({"a":[1]})", collect));
  EXPECT_FALSE(for_each_element("", collect));
}

TEST(RawJson, strings_are_decoded) {
  EXPECT_EQ(decode_string(R"("plain")"), "plain");
  EXPECT_EQ(decode_string(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(decode_string(R"("\u0041\u00e9\u20ac\ud83d\ude00")"), "Aé€😀");
  EXPECT_EQ(decode_string(R"("\uD83Dx\uDE00")"), "\uFFFDx\uFFFD");
  EXPECT_EQ(decode_string(R"("\ud83d\u0041")"),
            "\uFFFD"
            "A");
  EXPECT_EQ(decode_string(R"("\u0000")"), std::string(1, '\0'));
  EXPECT_EQ(decode_string("7"), std::nullopt);
  EXPECT_EQ(decode_string(""), std::nullopt);
  EXPECT_EQ(decode_string("\""), std::nullopt);
}

TEST(RawJson, strings_are_encoded) {
  EXPECT_EQ(encode_string("a\"b\\c\n\x01é/"), R"("a\"b\\c\n\u0001é/")");
  EXPECT_EQ(encode_string("a\xFFz"), "\"a\uFFFDz\"");
  EXPECT_EQ(encode_string(""), R"("")");
}

TEST(Bodies, carry_the_id_as_it_came) {
  EXPECT_EQ(result_body(R"("\u0031")", R"({"a" : 1})"), R"({"jsonrpc":"2.0","id":"\u0031","result":{"a" : 1}})");
  EXPECT_EQ(error_body("7", kMethodNotFoundCode, "no \"such\" method"),
            R"({"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no \"such\" method"}})");
  EXPECT_EQ(
      error_body("", kParseErrorCode, "Parse error", R"({"origin":"module"})"),
      R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error","data":{"origin":"module"}}})");
}

}  // namespace
}  // namespace ringside::mcp
