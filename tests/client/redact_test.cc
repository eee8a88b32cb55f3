#include "client/cli/redact.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ringside::cli {
namespace {

constexpr const char* kConfiguration = R"({
  // a comment with s3cret
  "workers": 4, "doors": ["ring"], "logLevel": "debug", "peers": {"users": ["gateway"]},
  "unknown": "s3cret", "unknownToo": {"command": "s3cret? no: a command"},
  "mcpServers": {
    "far": {"url": "https://me:s3cret@far.example:8443/mcp?key=s3cret#s3cret", "headers": {"command": "s3cret", "n": 12345}},
    "near": {"command": "npx", "args": ["--token", "s3cret"], "env": {"type": "s3cret"}, "cwd": "/home/s3cret"},
    "odd": "s3cret"
  }
})";

TEST(Redact, nothing_that_may_be_a_secret_is_left) {
  const auto shown = redacted_configuration(kConfiguration);
  ASSERT_TRUE(shown.has_value());
  const auto json = nlohmann::json::parse(*shown);
  auto without_the_command = *shown;
  without_the_command.erase(without_the_command.find("s3cret? no"), 6);
  EXPECT_EQ(without_the_command.find("s3cret"), std::string::npos) << *shown;
  EXPECT_EQ(shown->find("12345"), std::string::npos);
}

TEST(Redact, what_helps_is_left) {
  const auto json = nlohmann::json::parse(redacted_configuration(kConfiguration).value());
  EXPECT_EQ(json["workers"], 4);
  EXPECT_EQ(json["doors"][0], "ring");
  EXPECT_EQ(json["mcpServers"]["far"]["url"], "https://far.example:8443/mcp");
  EXPECT_EQ(json["mcpServers"]["near"]["command"], "npx");
  EXPECT_EQ(json["mcpServers"]["near"]["args"].size(), 2U);
}

TEST(Redact, what_is_no_json_is_not_shown_at_all) {
  EXPECT_FALSE(redacted_configuration("{\"env\": \"s3cret\"").has_value());
  EXPECT_FALSE(redacted_configuration("").has_value());
}

TEST(Redact, an_address_without_a_scheme_or_with_an_at_in_its_path_is_understood) {
  const auto url = [](const std::string& text) {
    const auto json = nlohmann::json{{"mcpServers", {{"x", {{"url", text}}}}}};
    return nlohmann::json::parse(redacted_configuration(json.dump()).value())["mcpServers"]["x"]["url"];
  };
  EXPECT_EQ(url("me:s3cret@host/"), "[redacted]");
  EXPECT_EQ(url("http://host/a@b"), "http://host/a@b");
  EXPECT_EQ(url("http://a@b:s3cret@host"), "http://host");
}

}  // namespace
}  // namespace ringside::cli
