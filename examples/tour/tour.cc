// A first program against Ringside's client library, and the part of scripts/demo that needs one: a session, the tools,
// a call through each door, a mebibyte through the ring, and a worker's death in the middle of it all.
//
//   tour --runtime-dir DIR [--tool NAME] [--kill]

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/log.h"
#include "client/cpp/client.h"

namespace {

using nlohmann::json;
using ringside::CallOptions;
using ringside::CallTrace;
using ringside::Client;
using ringside::DoorChoice;

/// Sends one JSON-RPC message; ends the program when it is not answered, since a tour has nothing to show then.
class Guide {
 public:
  Guide(std::shared_ptr<Client> client, std::string session)
      : client_(std::move(client)), session_(std::move(session)) {}

  ringside::Response send(const json& message) {
    ringside::Request request;
    request.method = "POST";
    request.path = "/mcp";
    request.headers.set("content-type", "application/json");
    request.session_id = session_;
    request.body = message.dump();
    CallOptions options;
    options.trace = &trace_;
    auto answer = client_->call(std::move(request), options);
    if (!answer.ok()) {
      std::fprintf(stderr, "tour: not answered: %s\n", std::string(answer.error().message).c_str());
      std::exit(1);  // NOLINT(concurrency-mt-unsafe): one thread
    }
    return std::move(answer).value();
  }

  json call_tool(const std::string& name, const json& arguments) {
    const auto response = send({{"jsonrpc", "2.0"},
                                {"id", next_id_++},
                                {"method", "tools/call"},
                                {"params", {{"name", name}, {"arguments", arguments}}}});
    return json::parse(response.body);
  }

  void open_session() {
    const json client = {{"name", "tour"}, {"version", "1"}};
    const auto response = send(
        {{"jsonrpc", "2.0"},
         {"id", 0},
         {"method", "initialize"},
         {"params", {{"protocolVersion", "2025-11-25"}, {"capabilities", json::object()}, {"clientInfo", client}}}});
    session_ = response.headers.get("mcp-session-id");
    send({{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}});
  }

  [[nodiscard]] const std::string& session() const { return session_; }
  [[nodiscard]] const CallTrace& trace() const { return trace_; }

 private:
  std::shared_ptr<Client> client_;
  std::string session_;
  CallTrace trace_;
  int next_id_ = 1;
};

std::shared_ptr<Client> connect(const std::string& runtime_dir, DoorChoice door) {
  auto client = Client::connect({.runtime_dir = runtime_dir, .door = door, .client_name = "tour"});
  if (!client.ok()) {
    std::fprintf(stderr, "tour: %s\n", std::string(client.error().message).c_str());
    std::exit(1);  // NOLINT(concurrency-mt-unsafe): one thread
  }
  return std::move(client).value();
}

std::string text_of(const json& answer) { return answer.at("result").at("content").at(0).at("text"); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A first program against Ringside");
  std::string runtime_dir = "/run/ringside";
  std::string tool = "echo";
  bool kill_worker = false;
  app.add_option("--runtime-dir", runtime_dir, "where the sockets are");
  app.add_option("--tool", tool, "the name of an echo tool");
  app.add_flag("--kill", kill_worker, "also SIGKILL the worker that serves the session");
  CLI11_PARSE(app, argc, argv);
  ringside::log::init("tour", "warn");

  Guide ring(connect(runtime_dir, DoorChoice::kRing), "");
  ring.open_session();
  std::printf("session %s, opened through the ring at worker %d\n", ring.session().c_str(), ring.trace().worker_pid);

  for (const DoorChoice door : {DoorChoice::kRing, DoorChoice::kHandle, DoorChoice::kGrpc, DoorChoice::kHttp}) {
    Guide guide(connect(runtime_dir, door), ring.session());
    const std::string text =
        text_of(guide.call_tool(tool, {{"message", "hello through " + std::string(to_string(door))}}));
    std::printf("  %-7s %s\n", std::string(to_string(door)).c_str(), text.c_str());
  }

  const std::string mebibyte(1 << 20, 'x');
  const bool same = text_of(ring.call_tool(tool, {{"message", mebibyte}})).ends_with(mebibyte);
  std::printf("1 MiB there and back: %s; by shared memory %llu + %llu bytes, by sockets %llu + %llu\n",
              same ? "every byte the same" : "BYTES DIFFER",
              static_cast<unsigned long long>(ring.trace().ring_bytes_out),
              static_cast<unsigned long long>(ring.trace().ring_bytes_in),
              static_cast<unsigned long long>(ring.trace().inline_bytes_out),
              static_cast<unsigned long long>(ring.trace().inline_bytes_in));
  if (!same) return 1;

  if (kill_worker) {
    const int victim = ring.trace().worker_pid;
    ::kill(victim, SIGKILL);
    const std::string text = text_of(ring.call_tool(tool, {{"message", "still here"}}));
    std::printf("worker %d was killed; the same session's next call was answered by worker %d: %s\n", victim,
                ring.trace().worker_pid, text.c_str());
    if (ring.trace().worker_pid == victim) return 1;
  }
  return 0;
}
