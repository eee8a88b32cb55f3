// The `ringside` command, run as a process against a worker of this one.

#include <gtest/gtest.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/unix_socket.h"
#include "mcp/envelope.h"
#include "tests/client/fake_worker.h"
#include "tests/support/process.h"

namespace ringside::test {
namespace {

/// Enough of a runtime: sessions, ping, and tools/call that answers its params.
class FakeRuntime {
 public:
  std::optional<mcp::Response> operator()(mcp::Request request) {
    const std::lock_guard lock(mutex_);
    seen_.push_back(request);
    if (request.method == "DELETE") return json(200, "");
    mcp::EnvelopeReader reader;
    mcp::Envelope envelope;
    if (reader.read(request.body, envelope) != mcp::EnvelopeFault::kNone) return json(400, "{}");
    if (envelope.kind == mcp::Envelope::Kind::kNotification) return json(202, "");
    if (envelope.method == "initialize") {
      if (refuse_sessions) return json(200, mcp::error_body(envelope.id, -32003, "Access denied"));
      auto response = json(200, mcp::result_body(envelope.id, R"({"protocolVersion":"2025-06-18"})"));
      response.headers.set("mcp-session-id", "fresh");
      return response;
    }
    if (envelope.method == "ping") return json(200, mcp::result_body(envelope.id, "{}"));
    if (envelope.method == "hang") return std::nullopt;
    if (envelope.method == "fail") return json(200, mcp::result_body(envelope.id, R"({"content":[],"isError":true})"));
    if (envelope.method == "gone") return json(404, R"({"detail":"Session not found"})");
    if (envelope.method == "tools/call") return json(200, mcp::result_body(envelope.id, envelope.params));
    return json(200, mcp::error_body(envelope.id, -32601, "Method not found"));
  }
  /// "METHOD session": what came, in order.
  std::vector<std::string> seen() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> all;
    for (const auto& request : seen_) {
      const auto method = mcp::member(request.body, "method");
      all.push_back((method ? mcp::decode_string(*method).value_or("") : request.method) + " " + request.session_id);
    }
    return all;
  }
  mcp::Request last_call() {
    const std::lock_guard lock(mutex_);
    for (auto request = seen_.rbegin(); request != seen_.rend(); ++request) {
      if (!request->body.empty()) return *request;
    }
    return {};
  }
  bool refuse_sessions = false;

 private:
  std::mutex mutex_;
  std::vector<mcp::Request> seen_;
};

class Command : public testing::Test {
 protected:
  Finished ringside(std::vector<std::string> arguments, std::string input = {}) const {
    arguments.insert(arguments.begin(), program("ringside"));
    arguments.insert(arguments.end(), {"--runtime-dir", folder_.path()});
    return run(arguments, std::move(input));
  }
  Finished call(std::vector<std::string> arguments, std::string input = {}) const {
    arguments.insert(arguments.begin(), "call");
    arguments.insert(arguments.end(), {"--door", "grpc"});
    return ringside(std::move(arguments), std::move(input));
  }
  void serve(const std::string& socket = "runtime.sock") {
    worker_ = std::make_unique<FakeWorker>(folder_.file(socket),
                                           [this](mcp::Request request) { return runtime_(std::move(request)); });
    worker_->set_streaming([this](mcp::Request request, const std::shared_ptr<Streamed>& streamed) {
      answer_streamed(std::move(request), *streamed);
    });
  }
  /// Two notices and an answer to "talk", the start of one to "break", and whole answers to all else.
  void answer_streamed(mcp::Request request, Streamed& streamed) {
    const std::string method = mcp::decode_string(*mcp::member(request.body, "method")).value();
    const bool fails = method == "talk" && mcp::member(request.body, "params").has_value();
    auto answer = runtime_(std::move(request));
    if (method == "talk" || method == "break") {
      streamed.write(chunk_of({}, 200, "text/event-stream"));
      streamed.write(chunk_of(kNotice));
      if (method == "break") return streamed.finish({grpc::StatusCode::UNAVAILABLE, "gone"});
      streamed.write(chunk_of(kNotice + kNotice.substr(0, 10)));
      streamed.write(chunk_of(kNotice.substr(10)));
      streamed.write(last_chunk(fails ? "data: " + answer->body + "\n\n" : kResult));
    } else {
      auto only = chunk_of(answer->body, answer->status, "application/json");
      only.set_done(true);
      streamed.write(only);
    }
    streamed.finish(grpc::Status::OK);
  }
  const std::string kNotice = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
  const std::string kResult = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";

  TempDir folder_;
  FakeRuntime runtime_;
  std::unique_ptr<FakeWorker> worker_;
};

TEST_F(Command, call_opens_a_session_calls_in_it_and_closes_it) {
  serve();
  const auto done = call({"tools/call", R"({"name":"echo"})"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"name\":\"echo\"}}\n");
  EXPECT_EQ(done.err, "");
  EXPECT_EQ(runtime_.seen(), (std::vector<std::string>{"initialize ", "notifications/initialized fresh",
                                                       "tools/call fresh", "DELETE fresh"}));
  EXPECT_EQ(runtime_.last_call().headers.get("mcp-protocol-version"), "2025-06-18");
}

TEST_F(Command, call_sends_params_as_the_bytes_that_were_given) {
  serve();
  const std::string odd = R"({"b":1e2,"a":12345678901234567890,"id":"1"})";
  write_file(folder_.file("p"), odd + "\n");
  for (const auto& [argument, input] :
       std::vector<std::pair<std::string, std::string>>{{odd, ""}, {"-", odd + "\n"}, {"@" + folder_.file("p"), ""}}) {
    const auto done = call({"tools/call", argument}, input);
    EXPECT_EQ(done.out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" + odd + "}\n") << done.err;
  }
}

TEST_F(Command, call_needs_no_session_for_ping_and_its_own_for_initialize) {
  serve();
  EXPECT_EQ(call({"ping"}).out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
  EXPECT_EQ(call({"initialize"}).exit_code, 0);
  EXPECT_EQ(runtime_.seen(), (std::vector<std::string>{"ping ", "initialize ", "DELETE fresh"}));
}

TEST_F(Command, call_uses_a_session_that_is_named_and_leaves_it_open) {
  serve();
  EXPECT_EQ(call({"tools/call", "{}", "--session", "mine", "--server-id", "blue"}).exit_code, 0);
  EXPECT_EQ(runtime_.seen(), (std::vector<std::string>{"tools/call mine"}));
  EXPECT_EQ(runtime_.last_call().server_id, "blue");
}

TEST_F(Command, call_traces_on_stderr_only) {
  serve();
  const auto done = call({"tools/call", R"({"name":"echo"})", "--trace", "--raw"});
  EXPECT_EQ(done.out, R"({"jsonrpc":"2.0","id":1,"result":{"name":"echo"}})");
  EXPECT_EQ(done.err,
            "trace door=grpc worker_pid=unknown ring=0 ring_bytes_out=0 ring_bytes_in=0 inline_bytes_out=71 "
            "inline_bytes_in=49 session=fresh\n");
}

TEST_F(Command, call_exits_1_when_the_answer_is_an_error) {
  serve();
  EXPECT_EQ(call({"no/such"}).exit_code, 1);
  EXPECT_EQ(call({"fail"}).exit_code, 1);
  const auto gone = call({"gone"});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_EQ(gone.out, "{\"detail\":\"Session not found\"}\n");
  EXPECT_EQ(gone.err, "ringside: answered with HTTP status 404\n");
  runtime_.refuse_sessions = true;
  const auto refused = call({"tools/call", "{}"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("no session could be opened"), std::string::npos) << refused.err;
}

TEST_F(Command, a_streamed_call_prints_what_comes_before_the_answer_too) {
  serve();
  const auto done = call({"talk", "--stream", "--trace"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.out, kNotice + kNotice + kNotice + kResult);
  EXPECT_NE(done.err.find("trace door=grpc"), std::string::npos) << done.err;
  EXPECT_EQ(worker_->rpcs(), (std::vector<std::string>{"Invoke", "Invoke", "InvokeStream", "CloseSession"}));
  EXPECT_NE(runtime_.last_call().headers.get("accept").find("text/event-stream"), std::string::npos);
}

TEST_F(Command, a_streamed_call_that_is_answered_whole_looks_like_any_other) {
  serve();
  const auto done = call({"tools/call", R"({"name":"echo"})", "--stream"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"name\":\"echo\"}}\n");
  EXPECT_EQ(call({"ping", "--stream", "--raw"}).out, R"({"jsonrpc":"2.0","id":1,"result":{}})");
  const auto gone = call({"gone", "--stream"});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_EQ(gone.out, "{\"detail\":\"Session not found\"}\n");
  EXPECT_NE(gone.err.find("404"), std::string::npos) << gone.err;
  EXPECT_EQ(call({"fail", "--stream"}).exit_code, 1);
}

TEST_F(Command, a_streamed_call_exits_1_when_its_last_event_is_an_error_and_3_when_it_breaks_off) {
  serve();
  EXPECT_EQ(call({"talk", "{}", "--stream"}).exit_code, 1);
  const auto broken = call({"break", "--stream"});
  EXPECT_EQ(broken.exit_code, 3);
  EXPECT_EQ(broken.out, kNotice);
  EXPECT_NE(broken.err, "");
}

TEST_F(Command, call_exits_2_on_wrong_usage_and_says_what_is_wrong) {
  serve();
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"call"}, "METHOD"},
      {{"call", "ping", "{"}, "not valid JSON"},
      {{"call", "ping", "1"}, "JSON object"},
      {{"call", "ping", "@/no/such/file"}, "/no/such/file"},
      {{"call", "ping", "--door", "window"}, "window"},
      {{"call", "ping", "--timeout", "0"}, "timeout"},
      {{"call", "ping", "--nonsense"}, "nonsense"},
      {{"health", "--socket", "ring"}, "ring"},
      {{"dance"}, "subcommand"},
      {{}, "subcommand"}};
  for (const auto& [arguments, word] : wrong) {
    const auto done = ringside(arguments);
    EXPECT_EQ(done.exit_code, 2) << word;
    EXPECT_NE((done.out + done.err).find(word), std::string::npos) << done.out << done.err;
  }
  EXPECT_EQ(worker_->calls(), 0);
}

TEST_F(Command, exits_3_when_nobody_answers_and_says_what_to_do) {
  for (const char* door : {"auto", "ring", "handle", "grpc", "http"}) {
    const auto done = ringside({"call", "ping", "--door", door});
    EXPECT_EQ(done.exit_code, 3) << door;
    EXPECT_NE(done.err.find("ringsided --runtime-dir " + folder_.path()), std::string::npos)
        << door << ": " << done.err;
    EXPECT_EQ(done.out, "");
  }
  for (const char* command : {"health", "status"}) {
    const auto done = ringside({command});
    EXPECT_EQ(done.exit_code, 3);
    EXPECT_NE(done.err.find("is ringsided running?"), std::string::npos) << done.err;
  }
}

TEST_F(Command, exits_3_when_no_answer_comes_in_time) {
  serve();
  const auto done = call({"hang", "--timeout", "0.3"});
  EXPECT_EQ(done.exit_code, 3);
  EXPECT_NE(done.err.find("--timeout"), std::string::npos) << done.err;
}

TEST_F(Command, health_is_0_only_when_serving) {
  using Response = grpc::health::v1::HealthCheckResponse;
  serve();
  const auto serving = ringside({"health"});
  EXPECT_EQ(serving.exit_code, 0);
  EXPECT_EQ(serving.out, "SERVING\n");
  EXPECT_EQ(ringside({"health", "--service", "contextforge.mcp.runtime.v1.McpRuntime"}).exit_code, 0);
  const auto unknown = ringside({"health", "--service", "nothing"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.out, "SERVICE_UNKNOWN\n");
  worker_->set_health(Response::NOT_SERVING);
  const auto stopping = ringside({"health"});
  EXPECT_EQ(stopping.exit_code, 1);
  EXPECT_EQ(stopping.out, "NOT_SERVING\n");
  EXPECT_EQ(ringside({"health", "--socket", "control"}).exit_code, 3);
}

TEST_F(Command, health_waits_no_longer_than_it_may) {
  const auto silent = listen_at(folder_.file("runtime.sock"), SocketKind::kStream).value();
  EXPECT_EQ(ringside({"health", "--timeout", "0.2"}).exit_code, 3);
}

TEST_F(Command, status_is_a_table_or_json) {
  serve("control.sock");
  control::v1::StatusResponse status;
  status.set_version("9.9");
  status.set_workers_wanted(1);
  status.add_workers()->set_state(control::v1::Worker::STATE_READY);
  worker_->set_status(status);
  const auto table = ringside({"status"});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_NE(table.out.find("workers: 1 of 1 ready"), std::string::npos) << table.out;
  const auto text = ringside({"status", "--json"});
  const auto parsed = nlohmann::json::parse(text.out, nullptr, false);
  ASSERT_TRUE(parsed.is_object()) << text.out;
  EXPECT_EQ(parsed["version"], "9.9");
  EXPECT_EQ(parsed["workers"][0]["state"], "STATE_READY");
  EXPECT_TRUE(parsed["workers"][0].contains("connections_handed")) << "field names are those of the contract";
}

TEST_F(Command, the_runtime_folder_may_come_from_the_environment) {
  serve();
  const auto done =
      run({program("ringside"), "call", "ping", "--door", "grpc"}, {}, {"RINGSIDE_RUNTIME_DIR=" + folder_.path()});
  EXPECT_EQ(done.exit_code, 0) << done.err;
}

TEST_F(Command, says_its_version_and_helps) {
  EXPECT_EQ(run({program("ringside"), "--version"}).exit_code, 0);
  const auto help = run({program("ringside"), "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_NE(help.out.find("Exit codes"), std::string::npos);
  EXPECT_EQ(run({program("ringside"), "call", "--help"}).exit_code, 0);
}

TEST_F(Command, a_full_disk_is_no_success) {
  serve();
  Process full({.argv = {program("ringside"), "call", "ping", "--door", "grpc", "--runtime-dir", folder_.path()},
                .stdout_path = "/dev/full"});
  EXPECT_EQ(full.wait(), 1);
}

}  // namespace
}  // namespace ringside::test
