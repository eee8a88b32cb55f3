#pragma once
// A runtime with fakes around it: calls whose answers a test reads, upstreams that do as they are told, a store that
// counts.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "mcp/envelope.h"
#include "tests/support/process.h"
#include "tests/worker/fake_upstream.h"
#include "worker/runtime/runtime.h"

namespace ringside::test {

using worker::Call;
using worker::Door;

/// A call that keeps its answer, be it a stream: then response() is the head, with the pieces for a body, once that has
/// ended.
class TestCall final : public Call {
 public:
  explicit TestCall(mcp::Request request, Door door = Door::kGrpc) : Call(door, std::move(request)) {}

  [[nodiscard]] bool answered() const {
    const std::lock_guard lock(mutex_);
    return answers_ > 0;
  }
  [[nodiscard]] int answers() const {
    const std::lock_guard lock(mutex_);
    return answers_;
  }
  /// Waits for the answer.
  const mcp::Response& response() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return answers_ > 0; });
    return response_;
  }
  /// A stream has begun, which may have ended.
  [[nodiscard]] bool begun() const {
    const std::lock_guard lock(mutex_);
    return begun_;
  }
  /// What came of a stream so far.
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    return response_.body;
  }
  /// What becomes of the next pieces.
  void read(worker::Written written) {
    const std::lock_guard lock(mutex_);
    written_ = written;
  }
  void make_room() { has_room(); }

 private:
  void deliver(mcp::Response response) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(response);
    ++answers_;
    arrived_.notify_all();
  }
  void deliver_head(mcp::Response head) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(head);
    begun_ = true;
  }
  worker::Written deliver_piece(std::string piece) override {
    const std::lock_guard lock(mutex_);
    if (written_ != worker::Written::kCut) response_.body += piece;
    return written_;
  }
  void deliver_end() override {
    const std::lock_guard lock(mutex_);
    ++answers_;
    arrived_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  int answers_ = 0;
  bool begun_ = false;
  worker::Written written_ = worker::Written::kMore;
  mcp::Response response_;
};

inline mcp::Request post(std::string_view body, std::string session = {}) {
  mcp::Request request;
  request.method = "POST";
  request.path = "/mcp";
  request.body = mcp::padded_copy(body);
  request.session_id = std::move(session);
  return request;
}

/// Sessions in a map, and how often they were asked for. Fails on demand.
struct StoreScript {
  std::mutex mutex;
  std::map<std::string, mcp::SessionRecord> records;
  int finds = 0;
  int touches = 0;
  int updates = 0;
  int expires = 0;
  int claims = 0;
  bool broken = false;
  std::function<void()> before_create;  ///< runs once, without the lock
};

class FakeStore final : public worker::SessionStore {
 public:
  explicit FakeStore(std::shared_ptr<StoreScript> script) : script_(std::move(script)) {}

  Result<std::optional<mcp::SessionRecord>> find(const std::string& id, std::int64_t expired_before_ms) override {
    const std::lock_guard lock(script_->mutex);
    ++script_->finds;
    if (script_->broken) return kBroken;
    const auto found = script_->records.find(id);
    if (found == script_->records.end() || found->second.seen_ms < expired_before_ms) {
      return std::optional<mcp::SessionRecord>();
    }
    return std::optional(found->second);
  }
  Result<bool> create(const mcp::SessionRecord& record, std::int64_t expired_before_ms) override {
    std::function<void()> before;
    {
      const std::lock_guard lock(script_->mutex);
      before.swap(script_->before_create);
    }
    if (before) before();
    const std::lock_guard lock(script_->mutex);
    if (script_->broken) return kBroken;
    const auto found = script_->records.find(record.id);
    if (found != script_->records.end() && found->second.seen_ms >= expired_before_ms) return false;
    script_->records[record.id] = record;
    return true;
  }
  Result<bool> update(const mcp::SessionRecord& record) override {
    const std::lock_guard lock(script_->mutex);
    ++script_->updates;
    if (script_->broken) return kBroken;
    const auto found = script_->records.find(record.id);
    if (found == script_->records.end()) return false;
    auto replaced = record;
    replaced.home = found->second.home;
    replaced.state = found->second.state;
    found->second = std::move(replaced);
    return true;
  }
  Result<std::optional<std::string>> claim(const std::string& id, std::string_view expected,
                                           std::string_view mine) override {
    const std::lock_guard lock(script_->mutex);
    ++script_->claims;
    if (script_->broken) return kBroken;
    const auto found = script_->records.find(id);
    if (found == script_->records.end()) return std::optional<std::string>();
    if (found->second.home == expected) found->second.home = mine;
    return std::optional(found->second.home);
  }
  Status release(std::string_view home) override {
    const std::lock_guard lock(script_->mutex);
    for (auto& [id, record] : script_->records) {
      if (record.home == home) record.home.clear();
    }
    return {};
  }
  Status set_state(const std::string& id, std::string_view state) override {
    const std::lock_guard lock(script_->mutex);
    if (script_->broken) return kBroken;
    if (const auto found = script_->records.find(id); found != script_->records.end()) found->second.state = state;
    return {};
  }
  Status touch(const std::string& id, std::int64_t seen_ms) override {
    const std::lock_guard lock(script_->mutex);
    ++script_->touches;
    if (script_->broken) return kBroken;
    if (const auto found = script_->records.find(id); found != script_->records.end()) found->second.seen_ms = seen_ms;
    return {};
  }
  Result<bool> erase(const std::string& id) override {
    const std::lock_guard lock(script_->mutex);
    if (script_->broken) return kBroken;
    return script_->records.erase(id) == 1;
  }
  Result<std::int64_t> expire(std::int64_t expired_before_ms) override {
    const std::lock_guard lock(script_->mutex);
    ++script_->expires;
    return static_cast<std::int64_t>(
        std::erase_if(script_->records, [&](const auto& each) { return each.second.seen_ms < expired_before_ms; }));
  }

 private:
  static constexpr Error kBroken{Code::kSystem, 0, "broken"};
  std::shared_ptr<StoreScript> script_;
};

/// A runtime on fakes. Fields are set before start().
struct Bench {
  FakeClock clock;
  std::atomic<std::uint64_t> epoch{1};
  worker::RuntimeOptions options{.version = "9.9"};
  std::shared_ptr<StoreScript> store = std::make_shared<StoreScript>();
  std::vector<std::shared_ptr<UpstreamScript>> scripts;
  std::function<void()> held_invalidation;  ///< set instead of run when hold_invalidation
  bool hold_invalidation = false;
  std::unique_ptr<worker::EventLog> events;  ///< set: streams are numbered, and kept there
  std::unique_ptr<worker::Runtime> runtime;

  std::shared_ptr<UpstreamScript> upstream(std::string name, std::vector<std::string> tools = {}) {
    return scripts.emplace_back(std::make_shared<UpstreamScript>(std::move(name), std::move(tools)));
  }
  worker::Runtime& start() {
    std::vector<std::unique_ptr<Upstream>> upstreams;
    for (const auto& script : scripts) upstreams.push_back(std::make_unique<FakeUpstream>(script));
    runtime = std::make_unique<worker::Runtime>(options, clock,
                                                worker::Stores{std::make_unique<FakeStore>(store), std::move(events)},
                                                std::move(upstreams), epoch, [this](std::function<void()> done) {
                                                  epoch.fetch_add(1);
                                                  if (hold_invalidation) {
                                                    held_invalidation = std::move(done);
                                                  } else {
                                                    done();
                                                  }
                                                });
    return *runtime;
  }
  std::shared_ptr<TestCall> serve(mcp::Request request, Door door = Door::kGrpc) {
    if (!runtime) start();
    auto call = std::make_shared<TestCall>(std::move(request), door);
    runtime->serve(call);
    return call;
  }
  /// The answer of a call that is answered at once; a status of 0 when it is not.
  mcp::Response ask(mcp::Request request) {
    const auto call = serve(std::move(request));
    return call->answered() ? call->response() : mcp::Response{.status = 0, .headers = {}, .body = {}};
  }
  mcp::Response ask(std::string_view body, std::string session = {}) { return ask(post(body, std::move(session))); }
  /// initialize; the id of the new session.
  std::string open_session(mcp::Request request = {}, const std::string& version = "2025-06-18",
                           const std::string& capabilities = "{}") {
    request.method = "POST";
    request.body = mcp::padded_copy(R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":")" +
                                    version + R"(","capabilities":)" + capabilities + "}}");
    return std::string(ask(std::move(request)).headers.get("mcp-session-id"));
  }
};

inline constexpr std::string_view kPing = R"({"jsonrpc":"2.0","id":1,"method":"ping"})";
inline constexpr std::string_view kPong = R"({"jsonrpc":"2.0","id":1,"result":{}})";
inline constexpr std::string_view kList = R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})";

/// A tools/call with `arguments` as raw JSON.
inline std::string tool_call(const std::string& name, const std::string& arguments = "{}",
                             const std::string& id = "1") {
  return R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"tools/call","params":{"name":")" + name +
         R"(","arguments":)" + arguments + "}}";
}

/// The base64url of {"email": EMAIL} without padding.
std::string auth_of(const std::string& email);

}  // namespace ringside::test
