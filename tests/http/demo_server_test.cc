// The example server as a program: over stdio and over HTTP.
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/unix_socket.h"
#include "http/client.h"
#include "mcp/sse.h"
#include "tests/http/exchanges.h"
#include "tests/support/process.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace ringside::test {
namespace {

using nlohmann::json;

/// The demo server with its stdin and stdout in our hands (one end of a socket pair each).
class Demo {
 public:
  explicit Demo(std::vector<std::string> arguments = {}) {
    auto in = socket_pair(SocketKind::kStream, true);
    auto out = socket_pair(SocketKind::kStream, true);
    RS_CHECK(in.ok() && out.ok(), "socket pairs");
    in_ = std::move(in->first);
    out_ = std::move(out->first);
    const timeval limit{20, 0};
    ::setsockopt(out_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in->second.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out->second.get(), STDOUT_FILENO);
    arguments.insert(arguments.begin(), program("demo_server"));
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    RS_CHECK(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0, "demo_server starts");
    ::posix_spawn_file_actions_destroy(&actions);
  }
  ~Demo() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  Demo(const Demo&) = delete;
  Demo& operator=(const Demo&) = delete;

  void say(const std::string& line) const {
    const std::string bytes = line + "\n";
    ASSERT_EQ(::send(in_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void send(const json& message) const { say(message.dump()); }
  void call(const json& id, const std::string& tool, const json& arguments, const json& meta = {}) const {
    json params = {{"name", tool}, {"arguments", arguments}};
    if (!meta.is_null()) params["_meta"] = meta;
    send(json{{"jsonrpc", "2.0"}, {"id", id}, {"method", "tools/call"}, {"params", params}});
  }
  /// The next line; empty at the end of output.
  std::string line() {
    while (rest_.find('\n') == std::string::npos) {
      std::array<char, 65536> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init)
      const ssize_t got = ::recv(out_.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0) return {};
      rest_.append(bytes.data(), static_cast<std::size_t>(got));
    }
    const auto end = rest_.find('\n');
    std::string out = rest_.substr(0, end);
    rest_.erase(0, end + 1);
    return out;
  }
  json message() { return json::parse(line(), nullptr, false); }
  void close_input() { in_.reset(); }
  void signal(int number) const { ::kill(pid_, number); }
  /// Its exit code, once it has closed its output; -1 for a death by signal.
  int exit_code() {
    while (!line().empty()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  UniqueFd in_;
  UniqueFd out_;
  std::string rest_;
};

json initialize(const std::string& version) {
  return {
      {"jsonrpc", "2.0"},
      {"id", 0},
      {"method", "initialize"},
      {"params", {{"protocolVersion", version}, {"capabilities", json::object()}, {"clientInfo", {{"name", "t"}}}}}};
}

std::string text_of(const json& response) { return response["result"]["content"][0]["text"].get<std::string>(); }

TEST(DemoServerStdio, negotiates_the_version_and_lists_its_tools) {
  Demo demo;
  demo.send(initialize("2025-06-18"));
  EXPECT_EQ(demo.message()["result"]["protocolVersion"], "2025-06-18");
  demo.send(initialize("1999-01-01"));
  EXPECT_EQ(demo.message()["result"]["protocolVersion"], "2025-11-25");
  demo.send(json{{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}});
  demo.send(json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", "initialize"}});
  EXPECT_EQ(demo.message()["error"]["code"], -32602);
  demo.say(R"({"jsonrpc":"2.0","id":"list","method":"tools/list","params":{}})");
  const json list = demo.message();
  EXPECT_EQ(list["id"], "list");
  std::vector<std::string> names;
  for (const auto& tool : list["result"]["tools"]) {
    names.push_back(tool["name"]);
    EXPECT_EQ(tool["inputSchema"]["type"], "object");
    const bool read_only = names.back() != "sleep" && names.back() != "fail";
    EXPECT_EQ(tool.contains("annotations") && tool["annotations"]["readOnlyHint"] == true, read_only) << names.back();
  }
  EXPECT_EQ(names, (std::vector<std::string>{"echo", "add", "sleep", "blob", "progress", "fail"}));
}

TEST(DemoServerStdio, each_tool_does_what_it_says) {
  Demo demo;
  demo.call(1, "echo", {{"message", "grüß dich \"du\"\n"}});
  EXPECT_EQ(text_of(demo.message()), "grüß dich \"du\"\n");
  demo.call(2, "add", {{"a", 2}, {"b", 40}});
  EXPECT_EQ(text_of(demo.message()), "42");
  demo.call(2, "add", {{"a", 0.5}, {"b", -1}});
  EXPECT_EQ(text_of(demo.message()), "-0.5");
  demo.call(2, "add", {{"a", 9223372036854775807}, {"b", 1}});
  EXPECT_EQ(text_of(demo.message()), "9.223372036854776e+18");
  demo.call(3, "blob", {{"bytes", 300'000}});
  EXPECT_EQ(text_of(demo.message()).size(), 300'000U);
  demo.call(4, "sleep", {{"ms", 1}});
  EXPECT_EQ(text_of(demo.message()), "slept 1 ms");
  demo.call(5, "fail", json::object());
  EXPECT_EQ(demo.message()["result"]["isError"], true);
  demo.call(6, "fail", {{"mode", "error"}});
  const json failed = demo.message();
  EXPECT_EQ(failed["id"], 6);
  EXPECT_EQ(failed["error"]["code"], -32001);
}

TEST(DemoServerStdio, wrong_arguments_are_told_in_the_result) {
  Demo demo;
  const std::vector<std::pair<std::string, json>> wrong = {
      {"echo", json::object()}, {"echo", {{"message", 1}}},      {"add", {{"a", 1}}},
      {"sleep", {{"ms", -1}}},  {"sleep", {{"ms", "1"}}},        {"blob", {{"bytes", 1e3}}},
      {"progress", {{"x", 1}}}, {"blob", {{"bytes", 67108865}}}, {"blob", {{"bytes", 18446744073709551615U}}}};
  for (const auto& [tool, arguments] : wrong) {
    demo.call(1, tool, arguments);
    EXPECT_EQ(demo.message()["result"]["isError"], true) << tool << arguments;
  }
}

TEST(DemoServerStdio, what_is_no_request_gets_the_protocols_error) {
  Demo demo;
  const std::vector<std::pair<std::string, int>> wrong = {
      {"garbage", -32700},
      {"[]", -32600},
      {"{}", -32600},
      {R"({"jsonrpc":"2.0","id":1,"method":"resources/list"})", -32601},
      {R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nope"}})", -32602},
      {R"({"jsonrpc":"2.0","id":1,"method":"tools/call"})", -32602},
      {R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":[]}})", -32602},
      {R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1e999}}})", -32602}};
  for (const auto& [line, code] : wrong) {
    demo.say(line);
    EXPECT_EQ(demo.message()["error"]["code"], code) << line;
  }
  demo.say(R"({"jsonrpc":"2.0","id":7,"result":{}})");
  demo.say("  ");
  demo.say(R"({"jsonrpc":"2.0","id":12345678901234567890,"method":"ping"})");
  EXPECT_EQ(demo.line(), R"({"jsonrpc":"2.0","id":12345678901234567890,"result":{}})");
}

TEST(DemoServerStdio, a_slow_call_holds_nobody_up) {
  Demo demo;
  demo.call("slow", "sleep", {{"ms", 600'000}});
  demo.call("quick", "echo", {{"message", "hi"}});
  EXPECT_EQ(demo.message()["id"], "quick");
}

TEST(DemoServerStdio, progress_comes_before_the_result_and_only_if_asked_for) {
  Demo demo;
  demo.call(1, "progress", {{"steps", 3}, {"ms", 1}}, {{"progressToken", "tok"}});
  for (int step = 1; step <= 3; ++step) {
    const json note = demo.message();
    EXPECT_EQ(note["method"], "notifications/progress");
    EXPECT_EQ(note["params"], (json{{"progressToken", "tok"}, {"progress", step}, {"total", 3}}));
  }
  EXPECT_EQ(text_of(demo.message()), "took 3 steps");
  demo.call(2, "progress", {{"steps", 3}});
  EXPECT_EQ(demo.message()["id"], 2);
}

TEST(DemoServerStdio, a_cancelled_call_is_not_answered) {
  Demo demo;
  demo.call("x", "sleep", {{"ms", 600'000}});
  demo.say(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"y"}})");
  demo.say(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}})");
  demo.call("after", "echo", {{"message", "hi"}});
  EXPECT_EQ(demo.message()["id"], "after");
  demo.close_input();
  EXPECT_EQ(demo.line(), "") << "and nothing is left to wait for";
  EXPECT_EQ(demo.exit_code(), 0);
}

TEST(DemoServerStdio, the_end_of_input_lets_calls_finish) {
  Demo demo;
  demo.call(1, "sleep", {{"ms", 100}});
  demo.close_input();
  EXPECT_EQ(text_of(demo.message()), "slept 100 ms");
  EXPECT_EQ(demo.exit_code(), 0);
}

TEST(DemoServerStdio, sigterm_ends_it_cleanly_in_the_middle_of_a_call) {
  Demo demo;
  demo.call(1, "sleep", {{"ms", 600'000}});
  demo.call(2, "echo", {{"message", "here"}});
  demo.message();
  demo.signal(SIGTERM);
  EXPECT_EQ(demo.exit_code(), 0);
}

TEST(DemoServerStdio, records_the_bytes_of_each_request) {
  const TempDir dir;
  const std::string body = R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":)"
                           R"({"b":1e2,"a":12345678901234567890,"id":"1"}}})";
  Demo demo({"--log-requests", dir.file("log")});
  demo.say(body);
  demo.message();
  EXPECT_EQ(read_file(dir.file("log")), body + "\n");
}

TEST(DemoServer, wrong_usage_is_exit_2) {
  EXPECT_EQ(Demo({"--nonsense"}).exit_code(), 2);
  EXPECT_EQ(Demo({"--port", "1"}).exit_code(), 2) << "a port without --http";
  EXPECT_EQ(Demo({"--log-requests", "/no/such/folder/log"}).exit_code(), 1);
}

/// The demo server over HTTP, and a client with a session.
class DemoOverHttp {
 public:
  explicit DemoOverHttp(std::vector<std::string> arguments = {}) : demo_(with_http(std::move(arguments))) {
    const std::string line = demo_.line();
    RS_CHECK(line.starts_with("listening on "), "demo_server serves");
    url_ = line.substr(13);
  }
  http::ClientRequest request(const std::string& body, const std::string& session) const {
    auto out = post(url_, body);
    out.headers.set("content-type", "application/json");
    out.headers.set("accept", "application/json, text/event-stream");
    if (!session.empty()) out.headers.set("mcp-session-id", session);
    return out;
  }
  Result<mcp::Response> send(http::ClientRequest request) { return fetch(client_, std::move(request)); }
  mcp::Response ask(const json& message, const std::string& session) {
    auto response = send(request(message.dump(), session));
    EXPECT_TRUE(response.ok());
    return response.ok() ? *response : mcp::Response{0, {}, {}};
  }
  std::string open_session() { return std::string(ask(initialize("2025-11-25"), "").headers.get("mcp-session-id")); }
  Demo& demo() { return demo_; }
  http::Client& client() { return client_; }

 private:
  static std::vector<std::string> with_http(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--http");
    return arguments;
  }
  Demo demo_;
  http::Client client_{{}};
  std::string url_;
};

json tool_call(const json& id, const std::string& tool, const json& arguments, const json& meta = json::object()) {
  return {{"jsonrpc", "2.0"},
          {"id", id},
          {"method", "tools/call"},
          {"params", {{"name", tool}, {"arguments", arguments}, {"_meta", meta}}}};
}

TEST(DemoServerHttp, a_session_lives_from_initialize_to_delete) {
  DemoOverHttp server;
  const std::string session = server.open_session();
  EXPECT_EQ(session.size(), 36U);
  const auto ping = server.ask({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ping"}}, session);
  EXPECT_EQ(ping.status, 200);
  EXPECT_EQ(ping.headers.get("content-type"), "application/json");
  EXPECT_EQ(ping.body, R"({"jsonrpc":"2.0","id":1,"result":{}})");
  EXPECT_EQ(server.ask({{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}}, session).status, 202);
  EXPECT_EQ(server.ask({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ping"}}, "").status, 400);
  EXPECT_EQ(server.ask({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ping"}}, "unknown").status, 404);
  auto bye = server.request("", session);
  bye.method = "DELETE";
  EXPECT_EQ(server.send(bye)->status, 204);
  EXPECT_EQ(server.send(bye)->status, 404);
  EXPECT_EQ(server.ask({{"jsonrpc", "2.0"}, {"id", 1}, {"method", "ping"}}, session).status, 404);
}

TEST(DemoServerHttp, refuses_what_is_not_for_it) {
  DemoOverHttp server;
  auto get = server.request("", "");
  get.method = "GET";
  const auto not_allowed = server.send(get);
  EXPECT_EQ(not_allowed->status, 405);
  EXPECT_EQ(not_allowed->headers.get("allow"), "POST, DELETE");
  auto elsewhere = server.request("{}", "");
  elsewhere.url += "/else";
  EXPECT_EQ(server.send(elsewhere)->status, 404);
  auto old = server.request("{}", "");
  old.headers.set("mcp-protocol-version", "1999-01-01");
  EXPECT_EQ(server.send(old)->status, 400);
  EXPECT_EQ(server.send(server.request("garbage", ""))->status, 400);
  for (const std::string origin : {"http://evil.example", "http://localhost.evil.example", "null"}) {
    auto foreign = server.request(initialize("2025-11-25").dump(), "");
    foreign.headers.set("origin", origin);
    EXPECT_EQ(server.send(foreign)->status, 403) << origin;
  }
  auto local = server.request(initialize("2025-11-25").dump(), "");
  local.headers.set("origin", "http://localhost:8080");
  EXPECT_EQ(server.send(local)->status, 200);
}

TEST(DemoServerHttp, progress_is_streamed_to_whoever_accepts_a_stream) {
  DemoOverHttp server;
  const std::string session = server.open_session();
  const json message = tool_call(1, "progress", {{"steps", 2}}, {{"progressToken", 7}});
  const auto streamed = server.ask(message, session);
  EXPECT_EQ(streamed.headers.get("content-type"), "text/event-stream");
  std::vector<json> events;
  mcp::SseParser parser(10'000);
  ASSERT_TRUE(parser.feed(streamed.body, [&](mcp::SseEvent&& e) { events.push_back(json::parse(e.data)); }).ok());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0]["params"]["progressToken"], 7);
  EXPECT_EQ(events[1]["params"]["progress"], 2);
  EXPECT_EQ(text_of(events[2]), "took 2 steps");
  auto plain = server.request(message.dump(), session);
  plain.headers.set("accept", "application/json");
  const auto whole = server.send(plain);
  EXPECT_EQ(whole->headers.get("content-type"), "application/json");
  EXPECT_EQ(text_of(json::parse(whole->body)), "took 2 steps");
}

TEST(DemoServerHttp, calls_run_side_by_side_and_end_with_their_client) {
  DemoOverHttp server;
  const std::string session = server.open_session();
  const auto slow = std::make_shared<Recorder>();
  const auto id = server.client().start(server.request(tool_call(1, "sleep", {{"ms", 600'000}}).dump(), session), slow);
  EXPECT_EQ(text_of(json::parse(server.ask(tool_call(2, "echo", {{"message", "hi"}}), session).body)), "hi");
  server.client().cancel(id);
  EXPECT_EQ(slow->wait().error().code, Code::kCancelled);
  server.demo().signal(SIGTERM);
  EXPECT_EQ(server.demo().exit_code(), 0);
}

TEST(DemoServerHttp, a_port_that_is_taken_is_exit_1) {
  DemoOverHttp server;
  auto request = server.request("", "");
  const std::string port = request.url.substr(17, request.url.find('/', 17) - 17);
  EXPECT_EQ(Demo({"--http", "--port", port}).exit_code(), 1);
}

}  // namespace
}  // namespace ringside::test
