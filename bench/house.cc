#include "bench/house.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <utility>

#include "base/check.h"

namespace ringside::bench {
namespace {

constexpr std::size_t kVariants = 8;
/// Long enough for both sides of a door to fall asleep.
constexpr auto kPauseBeforeParkedCall = std::chrono::microseconds(300);
constexpr auto kHotSpin = std::chrono::milliseconds(20);

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): nothing is worth unwinding
}

struct Exchange {
  std::string request;
  std::string reply;
};

std::string filler(std::size_t bytes, std::mt19937_64& random) {
  static constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789  ";
  std::string text(bytes, ' ');
  for (char& each : text) each = kLetters[random() % 64];
  return text;
}

Exchange ping(std::size_t bytes, std::size_t variant) {
  const std::string id = std::to_string(1000 + variant * 7);
  std::string request = variant % 2 == 0 ? R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"ping"})"
                                         : R"({"method":"ping","id":)" + id + R"(,"jsonrpc":"2.0"})";
  if (request.size() < bytes) request.append(bytes - request.size(), ' ');
  return {std::move(request), R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{}})"};
}

Exchange echo(std::size_t bytes, std::size_t variant, std::mt19937_64& random, const std::string& tool) {
  const std::string id = "\"call-" + std::to_string(variant) + "\"";
  const std::string params = R"({"name":")" + tool + R"(","arguments":{"message":")";
  constexpr std::size_t kEnvelope = 110;
  const std::string text = filler(bytes - std::min(bytes, kEnvelope), random);
  const std::string tail = variant % 2 == 0 ? "" : R"(,"method":"tools/call")";
  const std::string head = variant % 2 == 0 ? R"("method":"tools/call",)" : "";
  return {R"({"jsonrpc":"2.0",)" + head + R"("id":)" + id + R"(,"params":)" + params + text + "\"}}" + tail + "}",
          R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":{"content":[{"type":"text","text":")" + text + R"("}]}})"};
}

/// What a contestant keeps between calls.
struct Lane {
  std::shared_ptr<Client> client;
  Work work;
  std::vector<Exchange> exchanges;
  std::string session;
  std::size_t next = 0;
  Request request;
  Answer answer{Error{}};
};

Request request_of(const Lane& lane, const Exchange& exchange) {
  Request request;
  request.method = "POST";
  request.path = lane.work == Work::kTransportEcho ? "/_ringside/echo" : "/mcp";
  request.headers.set("content-type", "application/json");
  request.headers.set("accept", "application/json, text/event-stream");
  request.session_id = lane.session;
  request.body = exchange.request;
  return request;
}

std::string open_session(Client& client) {
  Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.headers.set("content-type", "application/json");
  request.body =
      R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},)"
      R"("clientInfo":{"name":"bench","version":"1"}}})";
  auto answer = client.call(std::move(request));
  if (!answer.ok() || answer->status != 200) give_up("no session could be opened");
  return std::string(answer->headers.get("mcp-session-id"));
}

}  // namespace

const char* to_string(Mode mode) {
  switch (mode) {
    case Mode::kHot:
      return "hot";
    case Mode::kParked:
      return "parked";
    case Mode::kDefault:
      break;
  }
  return "default";
}

const char* to_string(Work work) { return work == Work::kTransportEcho ? "transport echo" : "runtime"; }

House::House(int spin_us) : dir_(folder_.file("run")) {
  const std::string spin = spin_us < 0 ? "" : R"(, "rings": {"spinUs": )" + std::to_string(spin_us) + "}";
  test::write_file(folder_.file("ringside.json"),
                   R"({"mcpServers": {"builtin": {"builtin": true}}, "transportEcho": true)" + spin + "}");
  supervisor_ = std::make_unique<test::Process>(
      test::ProcessOptions{.argv = {test::program("ringsided"), "--config", folder_.file("ringside.json"),
                                    "--runtime-dir", dir_, "--workers", "1"},
                           .stderr_path = folder_.file("log")});
  std::shared_ptr<Client> client;
  const bool ready = test::eventually([&] {
    auto connected = Client::connect({.runtime_dir = dir_, .door = DoorChoice::kRing});
    if (connected.ok()) client = std::move(connected).value();
    return client != nullptr;
  });
  if (!ready) give_up("ringsided did not become ready:\n" + test::read_file(folder_.file("log")));
  CallTrace trace;
  CallOptions options;
  options.trace = &trace;
  Request first;
  first.method = "POST";
  first.path = "/_ringside/echo";
  (void)client->call(std::move(first), options);
  worker_ = trace.worker_pid;
  if (worker_ == 0) give_up("the worker cannot be told");
}

House::~House() {
  supervisor_->signal(SIGTERM);
  supervisor_->wait();
}

std::shared_ptr<Client> connect(const std::string& runtime_dir, DoorChoice door, Mode mode) {
  ClientOptions options;
  options.runtime_dir = runtime_dir;
  options.door = door;
  options.client_name = "bench";
  if (mode == Mode::kHot) options.spin = kHotSpin;
  auto client = Client::connect(options);
  if (!client.ok())
    give_up("door " + std::string(to_string(door)) + " is not open: " + std::string(client.error().message));
  return std::move(client).value();
}

Contestant door_contestant(std::shared_ptr<Client> client, Work work, Mode mode, std::size_t bytes,
                           const std::string& tool) {
  auto lane = std::make_shared<Lane>();
  lane->client = std::move(client);
  lane->work = work;
  std::mt19937_64 random(bytes);
  for (std::size_t i = 0; i < kVariants; ++i) {
    if (work == Work::kTransportEcho) {
      std::string body = filler(bytes, random);
      lane->exchanges.push_back({body, body});
    } else {
      lane->exchanges.push_back(bytes <= 64 ? ping(bytes, i) : echo(bytes, i, random, tool));
    }
  }
  if (work == Work::kRuntime) lane->session = open_session(*lane->client);
  Contestant contestant;
  contestant.name = std::string(to_string(lane->client->door()));
  contestant.prepare = [lane, mode] {
    lane->next = (lane->next + 1) % kVariants;
    lane->request = request_of(*lane, lane->exchanges[lane->next]);
    if (mode == Mode::kParked) std::this_thread::sleep_for(kPauseBeforeParkedCall);
  };
  contestant.call = [lane] { lane->answer = lane->client->call(std::move(lane->request)); };
  contestant.check = [lane] {
    return lane->answer.ok() && lane->answer->status == 200 && lane->answer->body == lane->exchanges[lane->next].reply;
  };
  return contestant;
}

}  // namespace ringside::bench
