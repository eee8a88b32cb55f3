// Random messages, checked against another parser's eyes. A run's seed is printed, and RINGSIDE_SEED replays it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "mcp/envelope.h"
#include "mcp/json_grammar.h"
#include "mcp/message.h"

namespace ringside::mcp {
namespace {

using Json = nlohmann::ordered_json;

class Random : public ::testing::Test {
 protected:
  Random() {
    const char* given = std::getenv("RINGSIDE_SEED");
    seed_ = given != nullptr ? static_cast<unsigned>(std::stoul(given)) : std::random_device{}();
    engine_.seed(seed_);
    std::printf("RINGSIDE_SEED=%u\n", seed_);
  }

  std::size_t below(std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(engine_); }

  std::string text() {
    static const std::vector<std::string> kPieces = {"a", "Z", "\"", "\\", "/", "\n", "\t", "\x01", "{",
                                                     "}", "[", "]",  ",",  ":", " ",  "é",  "€",    "😀"};
    std::string out;
    for (std::size_t i = below(12); i > 0; --i) out += kPieces[below(kPieces.size())];
    return out;
  }

  Json value(int depth) {
    switch (below(depth > 0 ? 8 : 6)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return static_cast<std::int64_t>(engine_());
      case 3:
        return static_cast<double>(below(1'000'000)) / 1024.0;  // written without an exponent
      case 4:
        return std::string(below(200) == 0 ? 3000 : 0, 'x') + text();
      case 5:
        return text();
      case 6:
        return object(depth - 1);
      default: {
        Json array = Json::array();
        for (std::size_t i = below(5); i > 0; --i) array.push_back(value(depth - 1));
        return array;
      }
    }
  }

  Json object(int depth) {
    Json object = Json::object();
    for (std::size_t i = below(6); i > 0; --i) object[text()] = value(depth);
    return object;
  }

  /// A JSON-RPC message with its members in any order, unknown ones between them.
  Json message() {
    std::vector<std::pair<std::string, Json>> members = {{"jsonrpc", "2.0"}, {"method", text()}};
    if (below(4) != 0) members.emplace_back("id", below(2) == 0 ? Json(engine_()) : Json(text()));
    if (below(5) != 0) {
      Json params = object(3);
      if (below(2) == 0) params["name"] = text();
      if (below(2) == 0) params["arguments"] = object(4);
      members.emplace_back("params", params);
    }
    for (std::size_t i = below(4); i > 0; --i) members.emplace_back("x" + text(), value(3));
    std::shuffle(members.begin(), members.end(), engine_);
    Json out = Json::object();
    for (auto& [key, member] : members) out[key] = std::move(member);
    return out;
  }

  /// Any of the ways to write it down.
  std::string written(const Json& json) {
    const int indent = below(2) == 0 ? -1 : static_cast<int>(below(4));
    return json.dump(indent, below(2) == 0 ? ' ' : '\t', below(2) == 0);
  }

  unsigned seed_ = 0;
  std::mt19937_64 engine_;
  EnvelopeReader reader_;
  Envelope envelope_;
};

TEST_F(Random, spans_are_what_another_parser_sees) {
  for (int round = 0; round < 3000; ++round) {
    const Json json = message();
    const std::string body = padded_copy(written(json));
    ASSERT_EQ(reader_.read(body, envelope_), EnvelopeFault::kNone) << body;
    EXPECT_EQ(envelope_.method, json["method"].get<std::string>());
    ASSERT_EQ(envelope_.id.empty(), !json.contains("id"));
    if (json.contains("id")) {
      EXPECT_EQ(Json::parse(envelope_.id), json["id"]) << body;
    }
    ASSERT_EQ(envelope_.params.empty(), !json.contains("params"));
    if (!json.contains("params")) continue;
    EXPECT_EQ(Json::parse(envelope_.params), json["params"]) << body;
    for (const auto& [key, expected] : json["params"].items()) {
      const auto found = reader_.param(key);
      ASSERT_TRUE(found.ok() && found->has_value()) << body;
      EXPECT_EQ(Json::parse(**found), expected) << body;
      EXPECT_EQ(member(envelope_.params, key), **found) << body;
    }
  }
}

TEST_F(Random, strings_survive_encoding_and_decoding) {
  for (int round = 0; round < 3000; ++round) {
    const std::string original = text();
    EXPECT_EQ(decode_string(encode_string(original)), original);
    EXPECT_EQ(decode_string(Json(original).dump(-1, ' ', true)), original);
  }
}

/// Bytes that cannot make a number too large for the reference, nor half a surrogate pair: there the two differ on
/// purpose.
TEST_F(Random, damaged_texts_get_the_verdict_of_another_parser) {
  static const std::string kDamage = "{}[],:\"\\ \n\t01-.atfnx\x01\x7f\x80\xC3\xFF";
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = value(3).dump();
    for (std::size_t hits = below(3); hits > 0; --hits) {
      const std::size_t at = below(damaged.size());
      switch (below(3)) {
        case 0:
          damaged[at] = kDamage[below(kDamage.size())];
          break;
        case 1:
          damaged.insert(at, 1, kDamage[below(kDamage.size())]);
          break;
        default:
          damaged.erase(at, 1 + below(3));
          if (damaged.empty()) damaged = "[";
      }
    }
    const bool valid = Json::accept(damaged);
    EXPECT_EQ(is_json_text(damaged), valid) << damaged;
    EXPECT_EQ(reader_.read(padded_copy("[" + damaged + "]"), envelope_),
              Json::accept("[" + damaged + "]") ? EnvelopeFault::kBatch : EnvelopeFault::kParse)
        << damaged;
  }
}

}  // namespace
}  // namespace ringside::mcp
