#include "rpc/convert.h"

#include <gtest/gtest.h>

namespace ringside::rpc {
namespace {

mcp::Request full_request() {
  mcp::Request request;
  request.method = "DELETE";
  request.path = "/servers/blue/mcp";
  request.query = "a=1&b=2";
  request.headers.set("authorization", "Bearer x");
  request.headers.set("x-two", "2");
  request.body = "{}";
  request.server_id = "blue";
  request.session_id = "s-1";
  request.auth_encoded = "eyJzdWIiOiJib2IifQ";
  request.auth_expires_ms = 1'900'000'000'000;
  mcp::TypedAuth auth;
  auth.subject = "bob";
  auth.teams = {"t1", "t2"};
  auth.permissions = {"p"};
  auth.scopes = {"s"};
  auth.allowed_ips = {"10.0.0.0/8"};
  auth.is_admin = false;
  auth.not_before_ms = 3;
  auth.not_after_ms = 4;
  request.auth = std::make_shared<const mcp::TypedAuth>(std::move(auth));
  request.affinity_forwarded = true;
  return request;
}

contract::McpRequest message_of(const mcp::Request& request) {
  contract::McpRequest message;
  fill_head(request, message);
  message.set_body(request.body);
  return message;
}

TEST(Convert, every_field_of_a_request_survives_both_ways) {
  const mcp::Request sent = full_request();
  contract::McpRequest message = message_of(sent);
  EXPECT_EQ(message.method(), "DELETE");
  EXPECT_EQ(message.headers().at("x-two"), "2");
  EXPECT_EQ(message.auth_context().expires_at_epoch_ms(), 1'900'000'000'000U);
  const mcp::Request came = to_request(std::move(message), "POST");
  EXPECT_EQ(came.method, sent.method);
  EXPECT_EQ(came.path, sent.path);
  EXPECT_EQ(came.query, sent.query);
  EXPECT_EQ(came.headers.size(), 2U);
  EXPECT_EQ(came.headers.get("authorization"), "Bearer x");
  EXPECT_EQ(came.headers.get("x-two"), "2");
  EXPECT_EQ(came.body, sent.body);
  EXPECT_EQ(came.server_id, sent.server_id);
  EXPECT_EQ(came.session_id, sent.session_id);
  EXPECT_EQ(came.auth_encoded, sent.auth_encoded);
  EXPECT_EQ(came.auth_expires_ms, sent.auth_expires_ms);
  EXPECT_TRUE(came.affinity_forwarded);
  ASSERT_NE(came.auth, nullptr);
  EXPECT_EQ(came.auth->subject, "bob");
  EXPECT_EQ(came.auth->teams, sent.auth->teams);
  EXPECT_EQ(came.auth->permissions, sent.auth->permissions);
  EXPECT_EQ(came.auth->scopes, sent.auth->scopes);
  EXPECT_EQ(came.auth->allowed_ips, sent.auth->allowed_ips);
  EXPECT_EQ(came.auth->is_admin, false);
  EXPECT_EQ(came.auth->not_before_ms, 3U);
  EXPECT_EQ(came.auth->not_after_ms, 4U);
}

TEST(Convert, the_bytes_on_the_wire_survive_too) {
  contract::McpRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(message_of(full_request()).SerializeAsString()));
  EXPECT_EQ(to_request(std::move(parsed), "POST").headers.get("authorization"), "Bearer x");
}

TEST(Convert, an_empty_request_is_an_empty_value_with_the_rpcs_method) {
  const mcp::Request came = to_request(contract::McpRequest(), "POST");
  EXPECT_EQ(came.method, "POST");
  EXPECT_TRUE(came.path.empty() && came.query.empty() && came.headers.empty() && came.body.empty());
  EXPECT_TRUE(came.server_id.empty() && came.session_id.empty() && came.auth_encoded.empty());
  EXPECT_EQ(came.auth_expires_ms, 0U);
  EXPECT_FALSE(came.affinity_forwarded);
  EXPECT_EQ(came.deadline, SteadyTime::max());
}

TEST(Convert, no_auth_context_is_made_where_there_is_none) {
  EXPECT_FALSE(message_of(mcp::Request()).has_auth_context());
  mcp::Request expires;
  expires.auth_expires_ms = 5;
  EXPECT_TRUE(message_of(expires).has_auth_context());
  EXPECT_EQ(to_request(message_of(expires), "POST").auth, nullptr) << "no field is stated";
}

TEST(Convert, a_body_gets_room_for_a_parser_behind_its_end) {
  for (const std::size_t size : {0U, 1U, 15U, 16U, 4096U, 1U << 20U}) {
    contract::McpRequest message;
    message.set_body(std::string(size, 'x'));
    const mcp::Request came = to_request(std::move(message), "POST");
    EXPECT_EQ(came.body.size(), size);
    EXPECT_GE(came.body.capacity(), size + mcp::kBodyPadding);
  }
}

TEST(Convert, a_leading_question_mark_is_no_part_of_the_query) {
  contract::McpRequest message;
  message.set_query("?session_id=1");
  EXPECT_EQ(to_request(std::move(message), "POST").query, "session_id=1");
}

TEST(Convert, header_names_become_lower_case_and_the_one_that_was_wins) {
  for (int i = 0; i < 20; ++i) {  // a protobuf map has another order each time
    contract::McpRequest message;
    auto& headers = *message.mutable_headers();
    headers["X-Same"] = "upper";
    headers["x-same"] = "lower";
    headers["X-SAME"] = "loud";
    headers["Other"] = "1";
    const mcp::Request came = to_request(std::move(message), "POST");
    EXPECT_EQ(came.headers.size(), 2U);
    EXPECT_EQ(came.headers.get("x-same"), "lower");
    EXPECT_EQ(came.headers.get("other"), "1");
  }
}

TEST(Convert, every_field_of_a_response_survives_both_ways) {
  mcp::Response sent;
  sent.status = 404;
  sent.headers.set("content-type", "application/json");
  sent.body = R"({"detail":"Session not found"})";
  contract::McpResponse message;
  fill_head(sent, message);
  EXPECT_TRUE(message.body().empty());
  message.set_body(sent.body);
  const mcp::Response came = to_response(std::move(message));
  EXPECT_EQ(came.status, 404);
  EXPECT_EQ(came.headers.size(), 1U);
  EXPECT_EQ(came.headers.get("content-type"), "application/json");
  EXPECT_EQ(came.body, sent.body);
}

}  // namespace
}  // namespace ringside::rpc
