// The table "What a POST gets" (docs/protocol.md), each row through each door of a real Ringside: the same answer from
// all.

#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "http/server.h"
#include "mcp/envelope.h"
#include "tests/support/house.h"

namespace ringside::test {
namespace {

constexpr std::size_t kBodyLimit = 1 << 20;

// {"email":"alice@example.com"}, {"sub":"bob"} and {"sub":1 as base64url without padding.
constexpr const char* kAlice = "eyJlbWFpbCI6ImFsaWNlQGV4YW1wbGUuY29tIn0";
constexpr const char* kBob = "eyJzdWIiOiJib2IifQ";
constexpr const char* kBroken = "eyJzdWIiOjE";

/// An upstream that misbehaves in the way its path names.
class BadUpstream {
 public:
  BadUpstream()
      : server_({}, [this](Request request, std::shared_ptr<http::Responder> responder) {
          serve(request, std::move(responder));
        }) {
    auto port = server_.listen_loopback(0);
    RS_CHECK(port.ok(), "loopback has a free port");
    port_ = *port;
  }
  [[nodiscard]] std::string url(const std::string& mode) const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/" + mode;
  }

 private:
  void serve(const Request& request, std::shared_ptr<http::Responder> responder) {
    const auto message = nlohmann::json::parse(request.body, nullptr, false);
    const std::string method = message.is_object() ? message.value("method", "") : "";
    Response response;
    response.headers.set("content-type", "application/json");
    const auto answer = [&](const nlohmann::json& result) {
      response.body = nlohmann::json{{"jsonrpc", "2.0"}, {"id", message["id"]}, {"result", result}}.dump();
      responder->respond(std::move(response));
    };
    if (method == "initialize") {
      answer({{"protocolVersion", "2025-11-25"},
              {"capabilities", {{"tools", nlohmann::json::object()}}},
              {"serverInfo", {{"name", "bad"}, {"version", "1"}}}});
    } else if (method == "tools/list") {
      answer({{"tools", {{{"name", request.path.substr(1)}, {"inputSchema", {{"type", "object"}}}}}}});
    } else if (method != "tools/call") {
      response.status = 202;
      responder->respond(std::move(response));
    } else if (request.path == "/hangs") {
      hanging_.push_back(std::move(responder));
    } else if (request.path == "/html") {
      response.headers.set("content-type", "text/html");
      response.body = "<html>no</html>";
      responder->respond(std::move(response));
    } else {
      responder->begin(200, response.headers);
      responder->write(R"({"jsonrpc":"2.0","id":1,"resu)");  // and it is dropped here, in mid-answer
    }
  }

  std::vector<std::shared_ptr<http::Responder>> hanging_;
  std::uint16_t port_ = 0;
  http::Server server_;
};

/// What every row finds: a house with sessions of several kinds, and upstreams good and bad.
class Table {
 public:
  Table() : house_({.config = config()}) {
    plain_ = open(post(initialize("1")));
    scoped_ = open(scoped(post(initialize("1")), "blue"));
    alices_ = open(as(post(initialize("1")), kAlice));
    Request bound = post(initialize("1"));
    bound.headers.set("authorization", "Bearer one");
    bound_ = open(std::move(bound));
    batching_ =
        open(post(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}})"));
  }

  static std::string initialize(const std::string& id, const std::string& more = "") {
    return R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"initialize","params":{"protocolVersion":"2025-11-25",)" +
           R"("capabilities":{},"clientInfo":{"name":"t","version":"1"})" + more + "}}";
  }
  static Request as(Request request, const char* context) {
    request.auth_encoded = context;
    return request;
  }
  static Request scoped(Request request, const char* server) {
    request.server_id = server;
    request.path = std::string("/servers/") + server + "/mcp";
    return request;
  }

  House& house() { return house_; }
  const std::string& plain() const { return plain_; }
  const std::string& of_server_blue() const { return scoped_; }
  const std::string& alices() const { return alices_; }
  const std::string& bound() const { return bound_; }
  const std::string& of_2025_03_26() const { return batching_; }

  Client& by(DoorChoice door) {
    auto& client = clients_[static_cast<std::size_t>(door)];
    if (!client) {
      auto options = house_.client_options(door);
      options.max_body_bytes = 64 << 20;  // the runtime's own limit is what is tested
      client = Client::connect(options).value();
    }
    return *client;
  }

 private:
  std::string config() {
    return R"({"mcpServers": {"builtin": {"builtin": true},)"
           R"("hangs": {"url": ")" +
           bad_.url("hangs") + R"("}, "html": {"url": ")" + bad_.url("html") +
           R"("},)"
           R"("dies": {"url": ")" +
           bad_.url("dies") +
           R"("}, "refuses": {"url": "http://127.0.0.1:1/mcp"}},)"
           R"("limits": {"bodyBytes": )" +
           std::to_string(kBodyLimit) + R"(, "callTimeoutMs": 1500}})";
  }
  std::string open(Request request) {
    auto answer = by(DoorChoice::kGrpc).call(std::move(request));
    RS_CHECK(answer.ok() && answer->status == 200, "a session can be opened");
    return std::string(answer->headers.get("mcp-session-id"));
  }

  BadUpstream bad_;
  House house_;
  std::shared_ptr<Client> clients_[5];
  std::string plain_, scoped_, alices_, bound_, batching_;
};

struct Row {
  const char* name;
  std::function<Request(Table&)> request;
  int status;
  std::string body;         ///< exact; "*…" means that it contains the rest
  std::string header = {};  ///< "name: value" that must be there
};

std::string parse_error() { return R"({"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}})"; }
std::string invalid() { return R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}})"; }
std::string nested(std::size_t depth) {
  return R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":)" + std::string(depth - 2, '[') +
         std::string(depth - 2, ']') + "}}";
}
std::string call(const std::string& tool, const std::string& arguments = "{}") {
  return R"({"jsonrpc":"2.0","id":"q","method":"tools/call","params":{"name":")" + tool + R"(","arguments":)" +
         arguments + "}}";
}
const char* const kPing = R"({"jsonrpc":"2.0","id":7,"method":"ping"})";
const char* const kPong = R"({"jsonrpc":"2.0","id":7,"result":{}})";

auto body(std::string text) {
  return [text = std::move(text)](Table&) { return post(text); };
}

Request with_method(Request request, const char* method) {
  request.method = method;
  return request;
}
Request with_header(Request request, const char* name, const char* value) {
  request.headers.set(name, value);
  return request;
}

std::vector<Row> not_json_rows() {
  return {
      {"empty_body", body(""), 400, parse_error()},
      {"half_an_object", body(R"({"jsonrpc":"2.0")"), 400, parse_error()},
      {"trailing_garbage", body(std::string(kPing) + "x"), 400, parse_error()},
      {"a_hole_in_params", body(R"({"jsonrpc":"2.0","id":1,"method":"ping","params":{nope}})"), 400, parse_error()},
      {"invalid_utf8", body("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xff\"}"), 400, parse_error()},
      {"1025_deep", body(nested(1025)), 400, parse_error()},
      {"10000_deep", body(nested(10000)), 400, parse_error()},
      {"method_twice", body(R"({"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"})"), 400, parse_error()},
      {"method_twice_in_disguise", body(R"({"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"x"})"), 400,
       parse_error()},
      {"1024_deep_is_served", body(nested(1024)), 200, R"({"jsonrpc":"2.0","id":1,"result":{}})"},
      {"batch", body(R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])"), 400,
       R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Batch requests are not supported"}})"},
      {"batch_in_a_session_of_2025_03_26",
       [](Table& t) {
         const std::string note = R"({"jsonrpc":"2.0","method":"notifications/x"})";
         return post("[" + std::string(kPing) + "," + note + "," + call("echo", R"({"message":"hi"})") + "]",
                     t.of_2025_03_26());
       },
       200,
       "[" + std::string(kPong) + R"(,{"jsonrpc":"2.0","id":"q","result":{"content":[{"type":"text","text":"hi"}]}}])"},
      {"batch_in_a_later_session", [](Table& t) { return post("[" + std::string(kPing) + "]", t.plain()); }, 400,
       R"({"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Batch requests are not supported"}})"},
      {"a_string", body("\"ping\""), 400, invalid()},
      {"jsonrpc_1", body(R"({"jsonrpc":"1.0","id":1,"method":"ping"})"), 400, invalid()},
      {"no_method", body(R"({"jsonrpc":"2.0","id":1})"), 400, invalid()},
      {"an_answer_to_nothing", body(R"({"jsonrpc":"2.0","id":1,"result":{}})"), 400, invalid()},
  };
}

std::vector<Row> session_rows() {
  return {
      {"no_session_is_served", body(kPing), 200, kPong},
      {"ping_in_a_session", [](Table& t) { return post(kPing, t.plain()); }, 200, kPong},
      {"notification", [](Table& t) { return post(R"({"jsonrpc":"2.0","method":"notifications/x"})", t.plain()); }, 202,
       ""},
      {"unknown_session", [](Table&) { return post(kPing, "nobody"); }, 404, R"({"detail":"Session not found"})"},
      {"session_by_header", [](Table& t) { return with_header(post(kPing), "mcp-session-id", t.plain().c_str()); }, 200,
       kPong},
      {"unknown_session_by_query",
       [](Table&) {
         auto request = post(kPing);
         request.query = "session_id=nobody";
         return request;
       },
       404, R"({"detail":"Session not found"})"},
      {"another_server_scope", [](Table& t) { return post(kPing, t.of_server_blue()); }, 403,
       R"({"detail":"Session access denied"})"},
      {"the_same_server_scope", [](Table& t) { return Table::scoped(post(kPing, t.of_server_blue()), "blue"); }, 200,
       kPong},
      {"another_owner", [](Table& t) { return Table::as(post(kPing, t.alices()), kBob); }, 403,
       R"({"detail":"Session access denied"})"},
      {"the_owner", [](Table& t) { return Table::as(post(kPing, t.alices()), kAlice); }, 200, kPong},
      {"another_auth_binding",
       [](Table& t) { return with_header(post(kPing, t.bound()), "authorization", "Bearer two"); }, 403,
       R"({"detail":"Session access denied"})"},
      {"the_auth_binding", [](Table& t) { return with_header(post(kPing, t.bound()), "authorization", "Bearer one"); },
       200, kPong},
      {"initialize_over_anothers_session",
       [](Table& t) {
         return Table::as(post(Table::initialize("3", R"(,"session_id":")" + t.alices() + "\""), ""), kBob);
       },
       200, R"({"jsonrpc":"2.0","id":3,"error":{"code":-32003,"message":"Access denied"}})"},
      {"undecodable_context", [](Table&) { return Table::as(post(kPing), kBroken); }, 400, "*"},
      {"expired_context",
       [](Table&) {
         auto request = Table::as(post(kPing), kAlice);
         request.auth_expires_ms = 1;
         return request;
       },
       401, R"({"detail":"Auth context expired"})"},
      {"get_without_session", [](Table&) { return with_method(post(""), "GET"); }, 405, "*", "allow: POST"},
      {"get_with_session", [](Table& t) { return with_method(post("", t.plain()), "GET"); }, 405, "*",
       "allow: POST, DELETE"},
      {"delete_without_session", [](Table&) { return with_method(post(""), "DELETE"); }, 405, "*", "allow: "},
      {"delete_unknown_session", [](Table&) { return with_method(post("", "nobody"), "DELETE"); }, 404,
       R"({"detail":"Session not found"})"},
  };
}

std::vector<Row> protocol_rows() {
  const auto failed_initialize = [](const char* message) {
    return R"({"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":")" + std::string(message) + R"("}})";
  };
  return {
      {"unsupported_version_header",
       [](Table&) { return with_header(post(kPing), "mcp-protocol-version", "1999-01-01"); }, 400,
       R"({"error":"Bad Request","message":"Unsupported protocol version: 1999-01-01. Supported versions: )"
       R"(2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05"})"},
      {"supported_version_header",
       [](Table&) { return with_header(post(kPing), "mcp-protocol-version", "2025-03-26"); }, 200, kPong},
      {"initialize_without_version",
       body(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}})"), 200,
       failed_initialize("Missing protocolVersion")},
      {"initialize_with_malformed_version",
       body(
           R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"newest","capabilities":{}}})"),
       200, failed_initialize("Unsupported protocolVersion: newest")},
      {"initialize_with_bad_params", body(R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":[1]})"), 200,
       failed_initialize("Invalid params")},
      {"initialize_with_an_unknown_date",
       body(
           R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2031-01-01","capabilities":{},)"
           R"("clientInfo":{"name":"t","version":"1"}}})"),
       200, R"(*"protocolVersion":"2025-11-25")"},
      {"nobody_has_resources", body(R"({"jsonrpc":"2.0","id":1,"method":"resources/list"})"), 200,
       R"(*"result":{"resources":[]})"},
      {"a_prompt_without_a_name", body(R"({"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{}})"), 200,
       R"(*"code":-32602)"},
      {"discover_is_told_what_we_speak", body(R"({"jsonrpc":"2.0","id":1,"method":"server/discover"})"), 400,
       R"(*"supported":["2025-11-25","2025-06-18","2025-03-26","2024-11-05"])"},
      {"unknown_member_is_forwarded",
       body(
           R"({"jsonrpc":"2.0","x":[1],"id":"q","method":"tools/call","params":{"name":"echo","arguments":{"message":"hi"}}})"),
       200, R"({"jsonrpc":"2.0","id":"q","result":{"content":[{"type":"text","text":"hi"}]}})"},
      {"header_with_a_line_break", [](Table&) { return with_header(post(kPing), "x-bad", "a\r\nb: c"); }, 400, "*"},
      {"header_name_with_a_space", [](Table&) { return with_header(post(kPing), "x bad", "a"); }, 400, "*"},
      {"path_outside",
       [](Table&) {
         auto request = post(kPing);
         request.path = "/admin";
         return request;
       },
       404, "*"},
      {"body_over_the_limit", [](Table&) { return post("\"" + std::string(kBodyLimit, 'x') + "\""); }, 413, "*"},
      {"body_far_over_the_limit", [](Table&) { return post("\"" + std::string(4 * kBodyLimit, 'x') + "\""); }, 413,
       "*"},
  };
}

std::vector<Row> upstream_rows() {
  const auto down = [](const char* name, const char* tool) {
    return Row{name, body(call(tool)), 502, R"(*"origin":"upstream")"};
  };
  return {
      down("upstream_hangs", "hangs"),
      down("upstream_answers_html", "html"),
      down("upstream_dies_in_mid_answer", "dies"),
      down("upstream_refuses", "only-the-dead-one-might-know-this"),
      {"tools_of_the_living_are_listed", body(R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})"), 200,
       R"(*"name":"echo")"},
      {"duplicate_tool_name",
       body(R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"blob"}})"), 200,
       R"(*"code":-32602)"},
  };
}

const std::vector<Row>& rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> out;
    for (auto part : {not_json_rows(), session_rows(), protocol_rows(), upstream_rows()}) {
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }();
  return all;
}

Table* table = nullptr;
std::set<std::pair<std::size_t, DoorChoice>> asserted;

class TableEnvironment : public testing::Environment {
 public:
  void SetUp() override { table = new Table; }
  void TearDown() override {
    delete table;
    const std::size_t wanted = rows().size() * std::size(kDoors);
    std::printf("%zu rows x %zu doors = %zu, asserted %zu\n", rows().size(), std::size(kDoors), wanted,
                asserted.size());
    if (testing::GTEST_FLAG(filter) == "*") {
      EXPECT_EQ(asserted.size(), wanted) << "a row was skipped at some door";
    }
  }
};
const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new TableEnvironment);

class WhatAPostGets : public testing::TestWithParam<std::tuple<std::size_t, DoorChoice>> {};

TEST_P(WhatAPostGets, is_the_same_at_every_door) {
  const auto [index, door] = GetParam();
  const Row& row = rows()[index];
  const auto answer = table->by(door).call(row.request(*table));
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->status, row.status) << answer->body;
  if (row.body.starts_with('*')) {
    EXPECT_NE(answer->body.find(row.body.substr(1)), std::string::npos) << answer->body;
  } else {
    EXPECT_EQ(answer->body, row.body);
  }
  if (row.status == 502) {
    EXPECT_NE(answer->body.find(R"("id":"q")"), std::string::npos) << answer->body;
  }
  if (!row.header.empty()) {
    const auto colon = row.header.find(": ");
    EXPECT_TRUE(answer->headers.get(row.header.substr(0, colon)).starts_with(row.header.substr(colon + 2)));
  }
  asserted.emplace(index, door);
}

std::string name_of(const testing::TestParamInfo<std::tuple<std::size_t, DoorChoice>>& each) {
  return std::string(rows()[std::get<0>(each.param)].name) + "_by_" + std::string(to_string(std::get<1>(each.param)));
}

INSTANTIATE_TEST_SUITE_P(Table, WhatAPostGets,
                         testing::Combine(testing::Range<std::size_t>(0, rows().size()), testing::ValuesIn(kDoors)),
                         name_of);

}  // namespace
}  // namespace ringside::test
