#include "mcp/typed_auth.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace ringside::mcp {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

/// The verdict on fields beside a text; 0 for good, else the HTTP status that its error becomes.
int judge(TypedAuth auth, std::string_view context, Caller* caller = nullptr, Request request = {}) {
  Caller own;
  request.auth = std::make_shared<const TypedAuth>(std::move(auth));
  const Status status = apply_typed_auth(request, context, kNow, caller != nullptr ? *caller : own);
  if (status.ok()) return 0;
  return status.error().code == Code::kTimeout ? 401 : status.error().code == Code::kDenied ? 403 : 400;
}

TEST(TypedAuth, without_fields_nothing_changes) {
  Caller caller;
  EXPECT_TRUE(apply_typed_auth({}, R"({"email":"a"})", kNow, caller).ok());
  EXPECT_FALSE(caller.has_context);
}

TEST(TypedAuth, a_subject_that_contradicts_the_context_is_refused) {
  EXPECT_EQ(judge({.subject = "a"}, R"({"email":"a","sub":"b"})"), 0);
  EXPECT_EQ(judge({.subject = "b"}, R"({"email":"a","sub":"b"})"), 0);
  EXPECT_EQ(judge({.subject = "c"}, R"({"email":"a","sub":"b"})"), 400);
  EXPECT_EQ(judge({.subject = "c"}, R"({"email":"a"})"), 400);
  EXPECT_EQ(judge({.subject = "a"}, R"({"email":"a","email":"b"})"), 400);
  EXPECT_EQ(judge({.subject = "c"}, "{}"), 0) << "the text names nobody";
  EXPECT_EQ(judge({.teams = {"t"}}, R"({"email":"a"})"), 0);
}

TEST(TypedAuth, lists_and_the_admin_flag_agree_or_are_refused) {
  EXPECT_EQ(judge({.teams = {"x", "y", "x"}}, R"({"teams":["y","x"]})"), 0);
  EXPECT_EQ(judge({.teams = {"x"}}, R"({"teams":["y","x"]})"), 400);
  EXPECT_EQ(judge({.permissions = {"x"}}, R"({"permissions":[]})"), 400);
  EXPECT_EQ(judge({.scopes = {"x"}}, R"({"scopes":["X"]})"), 400);
  EXPECT_EQ(judge({.scopes = {"x"}}, R"({"scopes":null})"), 0);
  EXPECT_EQ(judge({.teams = {"x"}}, R"({"teams":[{"id":"x"}]})"), 0) << "not to be compared";
  EXPECT_EQ(judge({.is_admin = true}, R"({"is_admin":false})"), 400);
  EXPECT_EQ(judge({.is_admin = false}, R"({"is_admin":true})"), 400);
  EXPECT_EQ(judge({.is_admin = true}, R"({"is_admin":true})"), 0);
  EXPECT_EQ(judge({.is_admin = true}, "{}"), 0);
  EXPECT_EQ(judge({.is_admin = true}, R"({"is_admin":true,"is_admin":false})"), 400);
}

TEST(TypedAuth, fields_alone_say_who_it_is_and_what_is_allowed) {
  Caller caller;
  EXPECT_EQ(judge({.subject = "a", .permissions = {"p"}, .is_admin = true}, {}, &caller), 0);
  EXPECT_TRUE(caller.has_context);
  EXPECT_EQ(caller.owner, "a");
  EXPECT_EQ(caller.permissions, std::vector<std::string>{"p"});
  EXPECT_TRUE(caller.is_admin);
}

TEST(TypedAuth, time_limits_hold_and_the_earlier_expiry_counts) {
  constexpr auto kAt = static_cast<std::uint64_t>(kNow);
  EXPECT_EQ(judge({.not_before_ms = kAt + 1}, {}), 401);
  EXPECT_EQ(judge({.not_before_ms = kAt}, {}), 0);
  EXPECT_EQ(judge({.not_after_ms = kAt}, {}), 401);
  Caller caller;
  EXPECT_EQ(judge({.not_after_ms = kAt + 5}, {}, &caller), 0);
  EXPECT_EQ(caller.expires_ms, kNow + 5);
  caller.expires_ms = kNow + 3;
  EXPECT_EQ(judge({.not_after_ms = kAt + 5}, {}, &caller), 0);
  EXPECT_EQ(caller.expires_ms, kNow + 3);
  EXPECT_EQ(judge({.not_after_ms = ~0ULL}, {}), 0) << "far beyond what a clock says";
}

TEST(TypedAuth, an_address_is_the_clients_not_the_gateways) {
  Request request;
  request.peer_ip = "10.1.1.1";
  EXPECT_EQ(judge({.allowed_ips = {"10.0.0.0/8"}}, {}, nullptr, request), 0);
  request.headers.set("x-forwarded-for", " 192.0.2.7 , 10.9.9.9");
  EXPECT_EQ(judge({.allowed_ips = {"10.0.0.0/8"}}, {}, nullptr, request), 403);
  EXPECT_EQ(judge({.allowed_ips = {"198.51.100.1", "192.0.2.7"}}, {}, nullptr, request), 0);
  request.headers.set("x-real-ip", "2001:db8::1");
  EXPECT_EQ(judge({.allowed_ips = {"2001:db8::/32"}}, {}, nullptr, request), 0);
  EXPECT_EQ(judge({.allowed_ips = {"0.0.0.0/0"}}, {}), 403) << "nobody knows where it comes from";
}

TEST(TypedAuth, networks_are_compared_by_their_bits) {
  EXPECT_TRUE(is_in_network("10.128.0.1", "10.128.0.0/9"));
  EXPECT_FALSE(is_in_network("10.127.255.255", "10.128.0.0/9"));
  EXPECT_TRUE(is_in_network("1.2.3.4", "0.0.0.0/0"));
  EXPECT_FALSE(is_in_network("::1", "0.0.0.0/0"));
  EXPECT_TRUE(is_in_network("::ffff:10.0.0.1", "10.0.0.0/8"));
  EXPECT_TRUE(is_in_network("10.0.0.1", "::ffff:10.0.0.0/104"));
  EXPECT_TRUE(is_in_network("fd00::1", "fd00::1"));
  for (const std::string network : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0", "", "/8", "10.0.0.0/-1"}) {
    EXPECT_FALSE(is_in_network("10.0.0.1", network)) << network;
  }
  EXPECT_FALSE(is_in_network("", "0.0.0.0/0"));
}

}  // namespace
}  // namespace ringside::mcp
