// What a POST, a GET and a DELETE get: the contract's table, asked of the runtime itself.

#include "worker/runtime/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcp/session.h"
#include "tests/worker/fakes.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kInvalidRequest =
    R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}})";
constexpr std::string_view kParseError =
    R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}})";

std::string initialize(const std::string& params) {
  return R"({"jsonrpc":"2.0","id":7,"method":"initialize","params":)" + params + "}";
}
std::string invalid_params(const std::string& message, const std::string& id = "7") {
  return R"({"jsonrpc":"2.0","id":)" + id + R"(,"error":{"code":-32602,"message":")" + message + R"("}})";
}

TEST(Runtime, ping_is_answered_without_a_session_and_says_what_it_is) {
  Bench bench;
  const auto response = bench.ask(kPing);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, kPong);
  EXPECT_EQ(response.headers.get("content-type"), "application/json");
}

TEST(Runtime, an_id_comes_back_byte_for_byte) {
  Bench bench;
  for (const std::string id : {R"("1")", "1e2", "12345678901234567890", R"("\u0041")"}) {
    EXPECT_EQ(bench.ask(R"({"id": )" + id + R"(,"method":"ping","jsonrpc":"2.0"})").body,
              R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{}})");
  }
}

TEST(Runtime, what_is_no_json_rpc_is_refused) {
  Bench bench;
  const std::pair<std::string, std::string_view> rows[] = {
      {"", kParseError},
      {"{", kParseError},
      {"\"\xff\"", kParseError},
      {R"({"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"})", kParseError},
      {R"({"jsonrpc":"2.0","id":1,"method":"ping","params":)" + std::string(1025, '[') + std::string(1025, ']') + "}",
       kParseError},
      {"[]", R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Batch requests are not supported"}})"},
      {"3", kInvalidRequest},
      {R"({"id":1,"method":"ping"})", kInvalidRequest},
      {R"({"jsonrpc":"1.0","id":1,"method":"ping"})", kInvalidRequest},
      {R"({"jsonrpc":"2.0","id":1})", kInvalidRequest},
      {R"({"jsonrpc":"2.0","id":1,"result":{}})", kInvalidRequest},
      {R"({"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}})", kInvalidRequest},
  };
  for (const auto& [body, answer] : rows) {
    const auto response = bench.ask(body);
    EXPECT_EQ(response.status, 400) << body.substr(0, 80);
    EXPECT_EQ(response.body, answer) << body.substr(0, 80);
  }
}

TEST(Runtime, a_notification_is_taken_without_a_body) {
  Bench bench;
  for (const std::string method : {"notifications/initialized", "notifications/never_heard_of", "ping", "initialize"}) {
    const auto response = bench.ask(R"({"jsonrpc":"2.0","method":")" + method + R"("})");
    EXPECT_EQ(response.status, 202);
    EXPECT_EQ(response.body, "");
  }
}

TEST(Runtime, what_may_have_run_is_repeated_only_where_that_is_safe) {
  Bench bench;
  const auto retried = [&](const std::string& method, std::string_view body, std::string session = {}) {
    mcp::Request request = post(body, std::move(session));
    request.method = method;
    request.retry = true;
    return bench.serve(std::move(request))->response();
  };
  EXPECT_EQ(retried("POST", R"({"jsonrpc":"2.0","id":1,"method":"ping"})").status, 200);
  EXPECT_EQ(retried("POST", kList).status, 200);
  EXPECT_EQ(retried("POST", R"({"jsonrpc":"2.0","method":"notifications/initialized"})").status, 202);
  EXPECT_THAT(retried("POST", R"({"jsonrpc":"2.0","id":1,"method":"who/knows"})").body, HasSubstr("-32010"));
  EXPECT_EQ(retried("DELETE", "", "ended").status, 204) << "the first try has ended it";
}

TEST(Runtime, a_method_that_is_not_served_is_named) {
  Bench bench;
  for (const std::string method : {"resources/lists", "sampling/createMessage", "x"}) {
    const auto response = bench.ask(R"({"jsonrpc":"2.0","id":"a","method":")" + method + R"("})");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body,
              R"({"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"Method not found: )" + method + R"("}})");
  }
}

TEST(Runtime, what_is_told_back_is_short_and_encoded) {
  Bench bench;
  const auto quoted = bench.ask(R"({"jsonrpc":"2.0","id":1,"method":"\"\n"})");
  EXPECT_THAT(quoted.body, HasSubstr(R"(Method not found: \"\n)"));
  const auto long_one = bench.ask(R"({"jsonrpc":"2.0","id":1,"method":")" + std::string(1U << 20U, 'm') + R"("})");
  EXPECT_LT(long_one.body.size(), 1000U);
}

TEST(Runtime, paths_outside_are_not_found) {
  Bench bench;
  for (const std::string path :
       {"/", "/mcp2", "/mcp/x", "/servers", "/servers//mcp", "/servers/a/b/mcp", "/servers/mcp", "mcp",
        "/servers/a/mcpx", "/servers/%zz/mcp", "/servers/%4/mcp", "/_ringside/echo"}) {
    auto request = post(kPing);
    request.path = path;
    const auto response = bench.ask(std::move(request));
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(response.headers.get("content-type"), "application/json");
  }
}

TEST(Runtime, paths_inside_are_served) {
  Bench bench;
  for (const std::string path : {"", "/mcp", "/mcp/", "/servers/a/mcp", "/servers/a/mcp/", "/servers/a%20%2F%4a/mcp"}) {
    auto request = post(kPing);
    request.path = path;
    EXPECT_EQ(bench.ask(std::move(request)).body, kPong) << path;
  }
}

TEST(Runtime, the_server_of_the_path_and_of_the_field_must_agree) {
  Bench bench;
  auto request = post(kPing);
  request.path = "/servers/a%20b/mcp";
  request.server_id = "a b";
  EXPECT_EQ(bench.ask(request).status, 200);
  request.server_id = "other";
  const auto response = bench.ask(request);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, kInvalidRequest);
}

TEST(Runtime, other_http_methods_get_405_and_what_is_allowed) {
  Bench bench;
  const std::string session = bench.open_session();
  for (const std::string method : {"PUT", "GET", "", "post", "OPTIONS"}) {
    auto request = post("");
    request.method = method;
    auto response = bench.ask(request);
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.headers.get("allow"), "POST") << method;
    request.session_id = session;
    response = bench.ask(request);
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.headers.get("allow"), "POST, DELETE") << method;
  }
}

TEST(Runtime, a_header_that_http_forbids_is_refused) {
  Bench bench;
  for (const auto& [name, value] :
       {std::pair<std::string, std::string>{"a b", "x"}, {"", "x"}, {"x", "a\r\nb"}, {"x", std::string(1, '\0')}}) {
    auto request = post(kPing);
    request.headers.set(name, value);
    EXPECT_EQ(bench.ask(std::move(request)).status, 400) << name;
  }
}

TEST(Runtime, a_body_over_the_limit_gets_413) {
  Bench bench;
  bench.options.max_body_bytes = kPing.size();
  EXPECT_EQ(bench.ask(kPing).status, 200);
  EXPECT_EQ(bench.ask(std::string(kPing) + " ").status, 413);
}

TEST(Runtime, an_unsupported_protocol_version_header_is_told_what_is_supported) {
  Bench bench;
  auto request = post(kPing);
  request.headers.set("MCP-Protocol-Version", "2025-06-18");
  EXPECT_EQ(bench.ask(request).status, 200);
  for (const std::string version : {"1999-01-01", "", "x\"y"}) {
    request.headers.set("mcp-protocol-version", version);
    const auto response = bench.ask(request);
    EXPECT_EQ(response.status, 400);
    EXPECT_THAT(response.body, HasSubstr(R"({"error":"Bad Request","message":"Unsupported protocol version: )"));
    EXPECT_THAT(response.body, HasSubstr("Supported versions: 2025-11-25, 2025-06-18"));
  }
}

TEST(Runtime, an_auth_context_is_decoded_or_refused_and_must_not_be_expired) {
  Bench bench;
  auto request = post(kPing);
  request.auth_encoded = "!!!";
  EXPECT_EQ(bench.ask(request).status, 400);
  request.auth_encoded = auth_of("a@b");
  EXPECT_EQ(bench.ask(request).status, 200);
  request.auth_expires_ms = static_cast<std::uint64_t>(bench.clock.wall_ms());
  const auto response = bench.ask(request);
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.body, R"({"detail":"Auth context expired"})");
}

TEST(Runtime, initialize_makes_a_session_and_says_what_there_is) {
  Bench bench;
  bench.upstream("a", {"t"});
  const auto response = bench.ask(
      initialize(R"({"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}})"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(
      response.body,
      R"({"jsonrpc":"2.0","id":7,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},)"
      R"("serverInfo":{"name":"ringside","version":"9.9"}}})");
  const std::string id(response.headers.get("mcp-session-id"));
  EXPECT_EQ(id.size(), 36U);
  EXPECT_EQ(bench.store->records.at(id).protocol_version, "2025-06-18");
  EXPECT_EQ(bench.ask(kPing, id).status, 200);
}

TEST(Runtime, initialize_answers_a_version_it_does_not_know_with_its_newest) {
  Bench bench;
  const auto response = bench.ask(initialize(R"({"protocolVersion":"2099-01-01"})"));
  EXPECT_THAT(response.body, HasSubstr(R"("protocolVersion":")" + std::string(mcp::kProtocolVersions[0])));
}

TEST(Runtime, initialize_refuses_params_that_are_wrong) {
  Bench bench;
  const std::pair<std::string, std::string> rows[] = {
      {"{}", "Missing protocolVersion"},
      {R"({"protocolVersion":"latest"})", "Unsupported protocolVersion: latest"},
      {R"({"protocolVersion":""})", "Unsupported protocolVersion: "},
      {R"({"protocolVersion":3})", "Invalid params"},
      {"[]", "Invalid params"},
      {R"({"protocolVersion":"2025-06-18","protocolVersion":"2025-06-18"})", "Invalid params"},
      {R"({"protocolVersion":"2025-06-18","capabilities":3})", "Invalid params"},
      {R"({"protocolVersion":"2025-06-18","clientInfo":[]})", "Invalid params"},
      {R"({"protocolVersion":"2025-06-18","session_id":3})", "Invalid params"},
      {R"({"protocolVersion":"2025-06-18","session_id":"a","session_id":"b"})", "Invalid params"},
      {R"({"protocolVersion":"2025-06-18","sessionId":"a b"})", "Invalid params"},
  };
  for (const auto& [params, message] : rows) {
    const auto response = bench.ask(initialize(params));
    EXPECT_EQ(response.status, 200) << params;
    EXPECT_EQ(response.body, invalid_params(message)) << params;
    EXPECT_EQ(response.headers.get("mcp-session-id"), "");
  }
  EXPECT_EQ(bench.ask(R"({"jsonrpc":"2.0","id":7,"method":"initialize"})").body,
            invalid_params("Missing protocolVersion"));
  EXPECT_TRUE(bench.store->records.empty());
}

TEST(Runtime, initialize_takes_the_session_id_where_the_contract_looks_first) {
  Bench bench;
  auto request = post(initialize(R"({"protocolVersion":"2025-06-18","session_id":"p1","sessionId":"p2"})"));
  const auto id = [&] {
    return bench.ask(request).headers.get("mcp-session-id") == std::string_view()
               ? ""
               : std::string(bench.ask(request).headers.get("mcp-session-id"));
  };
  EXPECT_EQ(id(), "p1");
  request.query = "session_id=q";
  EXPECT_EQ(id(), "q");
  request.headers.set("mcp-session-id", "h");
  EXPECT_EQ(id(), "h");
  request.session_id = "f";
  EXPECT_EQ(id(), "f");
  request = post(initialize(R"({"protocolVersion":"2025-06-18","sessionId":"p2"})"));
  EXPECT_EQ(id(), "p2");
}

TEST(Runtime, transport_echo_reads_nothing_and_exists_only_when_switched_on) {
  Bench off;
  auto request = post("no json");
  request.path = "/_ringside/echo";
  EXPECT_EQ(off.ask(request).status, 404);
  Bench on;
  on.options.transport_echo = true;
  EXPECT_EQ(on.ask(request).body, "no json");
  EXPECT_EQ(on.ask(request).status, 200);
  request.method = "GET";
  EXPECT_EQ(on.ask(request).status, 404);
}

TEST(Runtime, calls_are_counted_by_door_and_while_they_are_under_way) {
  Bench bench;
  const auto script = bench.upstream("a", {"t"});
  script->hold_calls = true;
  bench.serve(post(kPing), Door::kRing);
  bench.serve(post(kPing), Door::kHttp);
  const auto call = bench.serve(post(tool_call("t")), Door::kHttp);
  auto stats = bench.runtime->stats();
  EXPECT_EQ(stats.calls, 3U);
  EXPECT_EQ(stats.under_way, 1U);
  EXPECT_EQ(stats.by_door[static_cast<std::size_t>(Door::kHttp)], 2U);
  EXPECT_EQ(stats.by_door[static_cast<std::size_t>(Door::kRing)], 1U);
  script->release();
  EXPECT_TRUE(call->answered());
  EXPECT_EQ(bench.runtime->stats().under_way, 0U);
  ASSERT_EQ(bench.runtime->upstreams().size(), 1U);
  EXPECT_EQ(bench.runtime->upstreams()[0].name, "a");
}

TEST(Runtime, a_call_is_answered_once_and_cancelled_only_before) {
  auto call = std::make_shared<TestCall>(post(kPing));
  int hooks = 0;
  call->on_cancel([&] { ++hooks; });
  call->cancel();
  call->cancel();
  EXPECT_EQ(hooks, 1);
  call->on_cancel([&] { ++hooks; });
  EXPECT_EQ(hooks, 2) << "cancelled already: at once";
  call->answer({});
  call->answer({});
  EXPECT_EQ(call->answers(), 1);
  call->on_cancel([&] { ++hooks; });
  EXPECT_EQ(hooks, 2);
  auto answered = std::make_shared<TestCall>(post(kPing));
  answered->on_cancel([&] { ++hooks; });
  answered->answer({});
  answered->cancel();
  EXPECT_FALSE(answered->cancelled());
  EXPECT_EQ(hooks, 2);
}

}  // namespace
}  // namespace ringside::test
