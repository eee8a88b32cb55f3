#pragma once
// An upstream that does as it is told, and keeps what it saw.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcp/envelope.h"
#include "worker/upstream/upstream.h"

namespace ringside::test {

using worker::Upstream;
using worker::UpstreamDone;
using worker::UpstreamRequest;

inline std::string tool_json(const std::string& name) { return R"({"name":")" + name + R"("})"; }

/// What a FakeUpstream does and saw; shared, since the runtime owns the upstream itself.
struct UpstreamScript {
  explicit UpstreamScript(std::string name_in, std::vector<std::string> tools_in = {})
      : name(std::move(name_in)), tools(std::move(tools_in)) {}

  const std::string name;
  std::mutex mutex;
  std::vector<std::string> tools;                             ///< names it lists
  std::optional<Error> list_fails;                            ///< instead of the list
  std::optional<Error> call_fails;                            ///< instead of an answer
  bool hold_lists = false;                                    ///< keep tools/list in `held`
  bool hold_calls = false;                                    ///< keep tools/call in `held`
  std::function<std::string(const UpstreamRequest&)> answer;  ///< of tools/call; else an echo of the message
  std::vector<UpstreamRequest> seen;
  std::vector<std::uint64_t> cancelled;
  std::vector<std::uint64_t> resumed;
  std::deque<std::pair<UpstreamRequest, UpstreamDone>> held;
  std::string introduction = R"({"capabilities":{"tools":{"listChanged":true}}})";  ///< what it says of itself
  std::shared_ptr<worker::UpstreamSink> sink;
  std::size_t index = 0;
  std::vector<std::pair<std::string, std::string>> replies;   ///< answers to its questions: session, message
  std::vector<std::pair<std::string, std::string>> notified;  ///< session, message
  std::vector<std::string> listened;                          ///< sessions
  std::vector<std::string> ended;                             ///< sessions

  /// Its tools have changed.
  void changed() { sink->list_changed(index, nullptr, worker::UpstreamSink::List::kTools); }
  /// A question that belongs to no call; false: nobody can be asked.
  bool ask(const worker::PersonaRef& persona, const std::string& method, const std::string& raw_id = "1") {
    return sink->question(index, persona, question(method, raw_id));
  }
  static worker::UpstreamQuestion question(const std::string& method, const std::string& raw_id) {
    return {R"({"jsonrpc":"2.0","id":)" + raw_id + R"(,"method":")" + method + R"(","params":{}})", raw_id, method};
  }
  /// A question amid the oldest request held.
  bool ask_amid(const std::string& method, const std::string& raw_id = "1") {
    std::unique_lock lock(mutex);
    const auto asks = held.front().first.on_question;
    lock.unlock();
    return asks != nullptr && asks(question(method, raw_id));
  }
  [[nodiscard]] std::size_t lists() {
    const std::lock_guard lock(mutex);
    std::size_t count = 0;
    for (const auto& request : seen) count += request.message.find("tools/list") != std::string::npos ? 1U : 0U;
    return count;
  }
  [[nodiscard]] UpstreamRequest last() {
    const std::lock_guard lock(mutex);
    return seen.empty() ? UpstreamRequest{} : seen.back();
  }
  /// Says something that comes before the answer of the oldest request held; what its caller says to it.
  bool say(const std::string& message) {
    std::unique_lock lock(mutex);
    const auto hears = held.front().first.on_message;
    lock.unlock();
    return hears(message);
  }
  /// Answers the oldest request held: with its natural answer, or with `with`.
  void release(std::optional<Result<std::string>> with = std::nullopt) {
    std::unique_lock lock(mutex);
    auto [request, done] = std::move(held.front());
    held.pop_front();
    Result<std::string> result = with ? std::move(*with) : natural(request);
    lock.unlock();
    done(std::move(result));
  }
  /// Needs `mutex`.
  Result<std::string> natural(const UpstreamRequest& request) {
    const std::string id = std::to_string(request.id);
    if (request.message.find("\"tools/list\"") != std::string::npos) {
      if (list_fails) return *list_fails;
      std::string list;
      for (const std::string& tool : tools) list += (list.empty() ? "" : ",") + tool_json(tool);
      return mcp::result_body(id, R"({"tools":[)" + list + "]}");
    }
    if (request.message.find("/list\"") != std::string::npos) {
      return mcp::error_body(id, mcp::kMethodNotFoundCode, "Method not found");
    }
    if (call_fails) return *call_fails;
    if (answer) return answer(request);
    return mcp::result_body(id, R"({"from":")" + name + R"("})");
  }
};

class FakeUpstream final : public Upstream {
 public:
  explicit FakeUpstream(std::shared_ptr<UpstreamScript> script) : script_(std::move(script)) {}
  ~FakeUpstream() override {
    while (!script_->held.empty()) script_->release(Result<std::string>(Error{Code::kCancelled, 0, "gone"}));
  }
  FakeUpstream(const FakeUpstream&) = delete;
  FakeUpstream& operator=(const FakeUpstream&) = delete;
  [[nodiscard]] const std::string& name() const override { return script_->name; }
  void send(UpstreamRequest request, UpstreamDone done) override {
    std::unique_lock lock(script_->mutex);
    script_->seen.push_back(request);
    const bool is_list = request.message.find("\"tools/list\"") != std::string::npos;
    if (is_list ? script_->hold_lists : script_->hold_calls) {
      script_->held.emplace_back(std::move(request), std::move(done));
      return;
    }
    auto result = script_->natural(request);
    lock.unlock();
    done(std::move(result));
  }
  void cancel(std::uint64_t id) override {
    UpstreamDone done;
    {
      const std::lock_guard lock(script_->mutex);
      script_->cancelled.push_back(id);
      for (auto it = script_->held.begin(); it != script_->held.end(); ++it) {
        if (it->first.id != id) continue;
        done = std::move(it->second);
        script_->held.erase(it);
        break;
      }
    }
    if (done) done(Error{Code::kCancelled, 0, "cancelled"});
  }
  void resume(std::uint64_t id) override {
    const std::lock_guard lock(script_->mutex);
    script_->resumed.push_back(id);
  }
  void on_tools_changed(std::function<void()> /*changed*/) override {}
  void attach(std::size_t index, std::shared_ptr<worker::UpstreamSink> sink) override {
    script_->index = index;
    script_->sink = std::move(sink);
  }
  void reply(const worker::PersonaRef& persona, std::string message) override {
    const std::lock_guard lock(script_->mutex);
    script_->replies.emplace_back(persona ? persona->session : "", std::move(message));
  }
  void notify(const worker::PersonaRef& persona, std::string message) override {
    const std::lock_guard lock(script_->mutex);
    script_->notified.emplace_back(persona ? persona->session : "", std::move(message));
  }
  void listen(const worker::PersonaRef& persona) override {
    const std::lock_guard lock(script_->mutex);
    if (persona) script_->listened.push_back(persona->session);
  }
  void end(const std::string& session) override {
    const std::lock_guard lock(script_->mutex);
    script_->ended.push_back(session);
  }
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    const std::lock_guard lock(script_->mutex);
    if (script_->introduction.empty()) return nullptr;
    return std::make_shared<const std::string>(script_->introduction);
  }
  [[nodiscard]] worker::UpstreamStatus status() const override { return {script_->name, "fake", "ready", 0, 0}; }

 private:
  std::shared_ptr<UpstreamScript> script_;
};

}  // namespace ringside::test
