// What the mode and the auth context's fields make of a request, before anything else is asked.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

TEST(Modes, off_serves_nothing_and_says_so) {
  Bench bench;
  bench.options.mode = "off";
  const auto upstream = bench.upstream("a", {"t"});
  for (const auto body : {kPing, kList}) {
    const auto response = bench.ask(body);
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.body, R"({"detail":"Ringside is off"})");
  }
  EXPECT_EQ(bench.runtime->ask_health(), worker::Health::kOk) << "it lives, and does what it is to do";
  bench.runtime->look_after_upstreams();
  EXPECT_TRUE(upstream->seen.empty());
}

TEST(TypedAuthAtTheDoor, is_refused_as_its_fault_says) {
  Bench bench;
  const auto ask = [&](mcp::TypedAuth auth, const std::string& encoded = {}) {
    auto request = post(kPing);
    request.auth_encoded = encoded;
    request.auth = std::make_shared<const mcp::TypedAuth>(std::move(auth));
    return bench.ask(std::move(request));
  };
  EXPECT_EQ(ask({.subject = "ann"}, auth_of("ann")).status, 200);
  const auto other = ask({.subject = "bob"}, auth_of("ann"));
  EXPECT_EQ(other.status, 400);
  EXPECT_EQ(other.body, R"({"detail":"Invalid auth context"})");
  const auto late = ask({.not_after_ms = 1});
  EXPECT_EQ(late.status, 401);
  EXPECT_EQ(late.body, R"({"detail":"Auth context expired"})");
  EXPECT_EQ(ask({.allowed_ips = {"192.0.2.1"}}).status, 403);
}

TEST(TypedAuthAtTheDoor, a_subject_owns_the_session_that_it_opens) {
  Bench bench;
  mcp::TypedAuth auth;
  auth.subject = "ann";
  mcp::Request opening;
  opening.auth = std::make_shared<const mcp::TypedAuth>(auth);
  const std::string session = bench.open_session(opening);
  auto hers = post(kPing, session);
  hers.auth = opening.auth;
  EXPECT_EQ(bench.ask(std::move(hers)).status, 200);
  auto his = post(kPing, session);
  his.auth_encoded = auth_of("bob");
  EXPECT_EQ(bench.ask(std::move(his)).status, 403);
  EXPECT_EQ(bench.ask(kPing, session).status, 403) << "nobody's";
}

}  // namespace
}  // namespace ringside::test
