#include <algorithm>
#include <atomic>
#include <charconv>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "mcp/envelope.h"
#include "mcp/json_scan.h"
#include "mcp/message.h"
#include "worker/upstream/timer.h"
#include "worker/upstream/upstreams.h"

namespace ringside::worker {
namespace {

constexpr std::uint64_t kMaxBlobBytes = 64ULL << 20U;
constexpr std::uint64_t kMaxSleepMs = 3'600'000;

constexpr std::string_view kTools =
    R"({"tools":[)"
    R"({"name":"echo","description":"Answers with its message; without one, with its arguments as they came.",)"
    R"("inputSchema":{"type":"object","properties":{"message":{"type":"string"}}},)"
    R"("annotations":{"readOnlyHint":true,"openWorldHint":false}},)"
    R"({"name":"blob","description":"Answers with so many bytes of text.",)"
    R"("inputSchema":{"type":"object","properties":{"bytes":{"type":"integer","minimum":0,"maximum":67108864}},)"
    R"("required":["bytes"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}},)"
    R"({"name":"sleep","description":"Answers after so many milliseconds.",)"
    R"("inputSchema":{"type":"object","properties":{"ms":{"type":"integer","minimum":0,"maximum":3600000}},)"
    R"("required":["ms"]},"annotations":{"readOnlyHint":true,"openWorldHint":false}}]})";

/// The result of a tool whose text is this raw JSON string. One allocation, so that a large text is copied once.
std::string text_answer(std::string_view id, std::string_view raw_text) {
  static constexpr std::string_view kBeforeId = R"({"jsonrpc":"2.0","id":)";
  static constexpr std::string_view kBeforeText = R"(,"result":{"content":[{"type":"text","text":)";
  static constexpr std::string_view kEnd = "}]}}";
  std::string answer;
  // Room to spare: whoever asked puts another id there, and the text shall not move to a new place for it.
  answer.reserve(kBeforeId.size() + id.size() + kBeforeText.size() + raw_text.size() + kEnd.size() + mcp::kBodyPadding);
  return answer.append(kBeforeId).append(id).append(kBeforeText).append(raw_text).append(kEnd);
}

/// The raw values of both; empty where one is missing. One walk: passing over a large value takes as long as reading
/// it.
std::pair<std::string_view, std::string_view> two_members(std::string_view raw_object, std::string_view first,
                                                          std::string_view second) {
  std::pair<std::string_view, std::string_view> found;
  for (mcp::MemberWalk walk(raw_object); (found.first.empty() || found.second.empty()) && walk.next();) {
    if (found.first.empty() && mcp::decodes_to(walk.key(), first)) found.first = walk.value();
    if (found.second.empty() && mcp::decodes_to(walk.key(), second)) found.second = walk.value();
  }
  return found;
}

std::optional<std::uint64_t> number_member(std::string_view raw_object, std::string_view key, std::uint64_t most) {
  const auto raw = mcp::member(raw_object, key);
  std::uint64_t number = 0;
  if (!raw) return std::nullopt;
  const auto [end, error] = std::from_chars(raw->data(), raw->data() + raw->size(), number);
  if (error != std::errc() || end != raw->data() + raw->size() || number > most) return std::nullopt;
  return number;
}

class BuiltinUpstream final : public Upstream {
 public:
  explicit BuiltinUpstream(std::string name) : name_(std::move(name)) {}
  ~BuiltinUpstream() override;
  BuiltinUpstream(const BuiltinUpstream&) = delete;
  BuiltinUpstream& operator=(const BuiltinUpstream&) = delete;

  [[nodiscard]] const std::string& name() const override { return name_; }
  void send(UpstreamRequest request, UpstreamDone done) override;
  void cancel(std::uint64_t id) override { wake(id, Error{Code::kCancelled, 0, "cancelled"}); }
  void on_tools_changed(std::function<void()> /*changed*/) override {}  // they never do
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    static const auto kIntroduction = std::make_shared<const std::string>(R"({"capabilities":{"tools":{}}})");
    return kIntroduction;
  }
  [[nodiscard]] UpstreamStatus status() const override;

 private:
  struct Sleeper {
    Timer::Token token;
    UpstreamDone done;
  };

  void call(const UpstreamRequest& request, std::string_view params, const std::string& id, UpstreamDone& done);
  void sleep(const UpstreamRequest& request, std::uint64_t ms, UpstreamDone done);
  void wake(std::uint64_t id, Result<std::string> answer);

  const std::string name_;
  std::atomic<std::uint64_t> calls_{0};
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Sleeper> sleepers_;  // guarded by mutex_
  std::unique_ptr<Timer> timer_;                         // guarded by mutex_; made by the first sleep
};

BuiltinUpstream::~BuiltinUpstream() {
  timer_.reset();  // joins: nobody wakes any more
  for (auto& [id, sleeper] : sleepers_) sleeper.done(Error{Code::kCancelled, 0, "shutting down"});
}

void BuiltinUpstream::send(UpstreamRequest request, UpstreamDone done) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  const std::string id = std::to_string(request.id);
  const auto [method, params] = two_members(request.message, "method", "params");
  if (method == R"("tools/call")") return call(request, params, id, done);
  if (method == R"("tools/list")") return done(mcp::result_body(id, kTools));
  done(mcp::error_body(id, mcp::kMethodNotFoundCode, "Method not found"));
}

void BuiltinUpstream::call(const UpstreamRequest& request, std::string_view params, const std::string& id,
                           UpstreamDone& done) {
  const auto [raw_name, arguments] = two_members(params, "name", "arguments");
  const std::string tool = mcp::decode_string(raw_name).value_or("");
  if (tool == "echo") {
    const auto message = mcp::member(arguments, "message");
    const bool is_text = message && message->starts_with('"');
    const std::string_view shown = arguments.empty() ? "{}" : arguments;
    return done(text_answer(id, is_text ? *message : std::string_view(mcp::encode_string(shown))));
  }
  if (tool == "blob") {
    if (const auto bytes = number_member(arguments, "bytes", kMaxBlobBytes)) {
      std::string text(*bytes + 2, 'x');
      text.front() = text.back() = '"';
      return done(text_answer(id, text));
    }
  }
  if (tool == "sleep") {
    if (const auto ms = number_member(arguments, "ms", kMaxSleepMs)) return sleep(request, *ms, std::move(done));
  }
  done(mcp::error_body(id, mcp::kInvalidParamsCode, "Invalid params"));
}

void BuiltinUpstream::sleep(const UpstreamRequest& request, std::uint64_t ms, UpstreamDone done) {
  const SteadyTime end = system_clock().now() + std::chrono::milliseconds(ms);
  const bool in_time = end <= request.deadline;
  const std::lock_guard lock(mutex_);
  if (!timer_) timer_ = std::make_unique<Timer>();
  auto& sleeper = sleepers_[request.id];
  sleeper.done = std::move(done);
  // The lock is held until the token is written, so that the action finds the sleeper whole however early it runs.
  sleeper.token = timer_->arm(std::min(end, request.deadline), [this, id = request.id, ms, in_time] {
    if (!in_time) return wake(id, Error{Code::kTimeout, 0, "the deadline passed"});
    wake(id, text_answer(std::to_string(id), "\"slept " + std::to_string(ms) + " ms\""));
  });
}

void BuiltinUpstream::wake(std::uint64_t id, Result<std::string> answer) {
  Sleeper sleeper;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sleepers_.find(id);
    if (found == sleepers_.end()) return;
    sleeper = std::move(found->second);
    sleepers_.erase(found);
    timer_->disarm(sleeper.token);
  }
  sleeper.done(std::move(answer));
}

UpstreamStatus BuiltinUpstream::status() const {
  UpstreamStatus status;
  status.name = name_;
  status.kind = "builtin";
  status.state = "ready";
  status.calls = calls_.load(std::memory_order_relaxed);
  return status;
}

}  // namespace

std::unique_ptr<Upstream> make_builtin_upstream(std::string name) {
  return std::make_unique<BuiltinUpstream>(std::move(name));
}

}  // namespace ringside::worker
