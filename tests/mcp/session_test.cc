#include "mcp/session.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace ringside::mcp {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

std::string base64url(std::string_view bytes) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : bytes) {
    bits = (bits << 8U) | static_cast<unsigned char>(c);
    for (held += 8; held >= 6; held -= 6) out.push_back(kAlphabet[(bits >> (held - 6)) & 63U]);
  }
  if (held > 0) out.push_back(kAlphabet[(bits << (6 - held)) & 63U]);
  return out;
}

Request request_with(std::string_view context) {
  Request request;
  request.auth_encoded = base64url(context);
  return request;
}

std::string owner_in(std::string_view context) {
  const auto caller = caller_of(request_with(context), kNow);
  if (!caller) return caller.error().code == Code::kInvalid ? "undecodable" : "another error";
  EXPECT_TRUE(caller->has_context);
  return caller->owner;
}

TEST(Versions, are_dates_and_the_newest_comes_first) {
  EXPECT_TRUE(is_supported_version("2025-11-25"));
  EXPECT_TRUE(is_supported_version("2024-11-05"));
  EXPECT_FALSE(is_supported_version("2026-07-28"));
  EXPECT_FALSE(is_supported_version(""));
  EXPECT_TRUE(is_well_formed_version("1999-01-01"));
  for (const char* version : {"", "2025-11-2", "2025-11-255", "2025/11/25", "2025-1a-25", "latest", " 2025-11-25"}) {
    EXPECT_FALSE(is_well_formed_version(version)) << version;
  }
  EXPECT_EQ(supported_versions(), "2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05");
}

TEST(Fingerprint, is_the_hash_of_both_headers) {
  Headers headers;
  EXPECT_EQ(fingerprint(headers), "");
  headers.set("accept", "*/*");
  EXPECT_EQ(fingerprint(headers), "");
  headers.set("Authorization", "Bearer x");
  // printf 'authorization=8:Bearer x\n' | sha256sum
  EXPECT_EQ(fingerprint(headers), "71a1866a71f4271af48c8e9aac1596cb077526b3d934f2b47bfe605d345b14de");
  headers.set("cookie", "a=b");
  // printf 'authorization=8:Bearer x\ncookie=3:a=b\n' | sha256sum
  EXPECT_EQ(fingerprint(headers), "158b0f39add6411911cfbb2bbd4b578ce6f227a5213471f1322a5ffcb3fc5105");
}

TEST(Fingerprint, cannot_be_shifted_from_one_header_into_the_other) {
  Headers authorization;
  authorization.set("authorization", "x\ncookie=1:y");
  Headers both;
  both.set("authorization", "x");
  both.set("cookie", "y");
  Headers cookie;
  cookie.set("cookie", "x");
  Headers plain;
  plain.set("authorization", "x");
  EXPECT_NE(fingerprint(authorization), fingerprint(both));
  EXPECT_NE(fingerprint(cookie), fingerprint(plain));
  Headers empty;
  empty.set("authorization", "");
  EXPECT_EQ(fingerprint(empty), "");
}

TEST(Caller, is_named_by_email_or_else_by_sub) {
  EXPECT_EQ(owner_in(R"({"email":"a@b.c","sub":"s"})"), "a@b.c");
  EXPECT_EQ(owner_in(R"({"sub":"s"})"), "s");
  EXPECT_EQ(owner_in(R"({"email":"","sub":"s"})"), "s");
  EXPECT_EQ(owner_in(R"({"email":null,"sub":"s\u00e9"})"), "sé");
  EXPECT_EQ(owner_in(R"({"email":7,"sub":["s"]})"), "");
  EXPECT_EQ(owner_in(R"({"user":{"email":"inner"}})"), "");
  EXPECT_EQ(owner_in("{}"), "");
  EXPECT_EQ(owner_in(R"( {"email":"ÿ~?>","big":1e400} )"), "ÿ~?>");
}

TEST(Caller, is_refused_when_the_context_cannot_be_decoded) {
  for (const char* context : {"[]", "7", "null", "\"text\"", "{", "", "nope", "{\"email\":\"\xFF\"}",
                              R"({"email":"a","email":"b"})", R"({"sub":"a","s\u0075b":"b"})"}) {
    if (*context == '\0') continue;
    EXPECT_EQ(owner_in(context), "undecodable") << context;
  }
  Request request;
  for (const char* encoded : {"e", "e30=", "e3 0", "e30\n", "+/+/", "e30.e30", "e30A1"}) {
    request.auth_encoded = encoded;
    const auto caller = caller_of(request, kNow);
    ASSERT_FALSE(caller.ok()) << encoded;
    EXPECT_EQ(caller.error().code, Code::kInvalid);
  }
  EXPECT_EQ(owner_in("{\"email\":\"" + std::string(70'000, 'x') + "\"}"), "undecodable");
}

TEST(Caller, has_an_expiry_only_where_one_is_stated) {
  Request request = request_with(R"({"email":"a"})");
  EXPECT_EQ(caller_of(request, kNow)->expires_ms, 0);
  request.auth_expires_ms = kNow + 1;
  EXPECT_EQ(caller_of(request, kNow)->expires_ms, kNow + 1);
  request.auth_expires_ms = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(caller_of(request, kNow)->expires_ms, std::numeric_limits<std::int64_t>::max());
  for (const std::int64_t expired : {kNow, std::int64_t{1}}) {
    request.auth_expires_ms = static_cast<std::uint64_t>(expired);
    const auto caller = caller_of(request, kNow);
    ASSERT_FALSE(caller.ok());
    EXPECT_EQ(caller.error().code, Code::kTimeout);
    EXPECT_EQ(caller.error().message, "Auth context expired");
  }
}

TEST(Caller, without_a_context_is_known_by_its_headers) {
  Request request;
  request.headers.set("authorization", "Bearer x");
  const auto caller = caller_of(request, kNow);
  ASSERT_TRUE(caller.ok());
  EXPECT_FALSE(caller->has_context);
  EXPECT_EQ(caller->owner, "");
  EXPECT_EQ(caller->fingerprint, fingerprint(request.headers));
}

struct AdmissionRow {
  const char* promise;
  SessionRecord session;
  const char* server_id;
  Caller caller;
  Admission expected;
};

SessionRecord session(std::string server, std::string owner, std::string print, std::int64_t expires = 0) {
  SessionRecord record;
  record.server_id = std::move(server);
  record.owner = std::move(owner);
  record.fingerprint = std::move(print);
  record.auth_expires_ms = expires;
  return record;
}

TEST(Admit, follows_the_rule) {
  const Caller nobody{false, "", 0, ""};
  const Caller header_a{false, "", 0, "A"};
  const Caller header_b{false, "", 0, "B"};
  const Caller ann_a{true, "ann", 0, "A"};
  const Caller ann_b{true, "ann", 0, "B"};
  const Caller bob_a{true, "bob", 0, "A"};
  const Caller unnamed_a{true, "", 0, "A"};
  const AdmissionRow rows[] = {
      {"nobody's session, no headers", session("", "", ""), "", nobody, Admission::kAdmitted},
      {"another scope", session("s1", "", ""), "s2", nobody, Admission::kDenied},
      {"scoped session, unscoped request", session("s1", "ann", "A"), "", ann_a, Admission::kDenied},
      {"unscoped session, scoped request", session("", "ann", "A"), "s1", ann_a, Admission::kDenied},
      {"the owner", session("s1", "ann", "A"), "s1", ann_a, Admission::kAdmitted},
      {"the owner with other headers", session("s1", "ann", "A"), "s1", ann_b, Admission::kAdmitted},
      {"the owner, whose old context is past", session("", "ann", "A", kNow - 1), "", ann_a, Admission::kAdmitted},
      {"another owner with the same headers", session("", "ann", "A"), "", bob_a, Admission::kDenied},
      {"a context that names nobody", session("", "ann", "A"), "", unnamed_a, Admission::kDenied},
      {"reuse", session("", "ann", "A"), "", header_a, Admission::kAdmitted},
      {"reuse until the expiry", session("", "ann", "A", kNow + 1), "", header_a, Admission::kAdmitted},
      {"reuse past the expiry", session("", "ann", "A", kNow), "", header_a, Admission::kExpired},
      {"other headers past the expiry", session("", "ann", "A", kNow), "", header_b, Admission::kDenied},
      {"reuse with other headers", session("", "ann", "A"), "", header_b, Admission::kDenied},
      {"reuse without any credentials", session("", "ann", ""), "", nobody, Admission::kDenied},
      {"nobody's session, the same headers", session("", "", "A"), "", header_a, Admission::kAdmitted},
      {"nobody's session, other headers", session("", "", "A"), "", header_b, Admission::kDenied},
      {"nobody's session, the headers gone", session("", "", "A"), "", nobody, Admission::kDenied},
      {"nobody's session, a context beside", session("", "", "A"), "", ann_a, Admission::kAdmitted},
      {"nobody's session, an owner with other headers", session("", "", "A"), "", ann_b, Admission::kDenied},
      {"nobody's session, its context past", session("", "", "A", kNow), "", header_a, Admission::kExpired},
  };
  for (const AdmissionRow& row : rows) {
    EXPECT_EQ(admit(row.session, row.server_id, row.caller, kNow), row.expected) << row.promise;
  }
}

TEST(SessionId, is_looked_for_in_the_contracts_order) {
  Request request;
  EXPECT_EQ(find_session_id(request), "");
  request.query = "a=1&session_id=q%2D%41%zz%4&session_id=later";
  EXPECT_EQ(find_session_id(request), "q-A%zz%4");
  request.headers.set("Mcp-Session-Id", "");
  EXPECT_EQ(find_session_id(request), "q-A%zz%4");
  request.headers.set("Mcp-Session-Id", "header");
  EXPECT_EQ(find_session_id(request), "header");
  request.session_id = "field";
  EXPECT_EQ(find_session_id(request), "field");
}

TEST(SessionId, is_not_found_under_a_longer_or_an_empty_name) {
  Request request;
  for (const char* query : {"session_ids=x", "xsession_id=x", "session_id", "session_id=", "&&=&", "session_id&x=1"}) {
    request.query = query;
    EXPECT_EQ(find_session_id(request), "") << query;
  }
  request.query = "&session_id=x";
  EXPECT_EQ(find_session_id(request), "x");
  request.query = "session_id=%41%6a%6A";
  EXPECT_EQ(find_session_id(request), "Ajj");
}

TEST(SessionId, is_1_to_256_visible_bytes) {
  EXPECT_TRUE(is_valid_session_id("!~azAZ09"));
  EXPECT_TRUE(is_valid_session_id(std::string(256, 'x')));
  EXPECT_FALSE(is_valid_session_id(std::string(257, 'x')));
  for (const char* id : {"", " ", "a b", "a\n", "\x7f", "é"}) EXPECT_FALSE(is_valid_session_id(id)) << id;
}

}  // namespace
}  // namespace ringside::mcp
