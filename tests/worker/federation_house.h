#pragma once
// A federation with fake upstreams: what each lists and says of itself, and what it was asked.

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdint>
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
#include "worker/federation/federation.h"

namespace ringside::test {

/// What an upstream does and saw; shared, since the backends own the upstream itself.
struct Server {
  std::string name;
  std::mutex mutex;
  std::map<std::string, std::string> lists;  ///< raw result by method; a method that is not here is not known
  std::optional<std::string> says;           ///< raw result of initialize, from the first request on
  std::optional<Error> fails;
  bool holds = false;
  std::vector<std::string> asked;  ///< methods
  std::deque<std::pair<worker::UpstreamRequest, worker::UpstreamDone>> held;

  [[nodiscard]] std::size_t times(const std::string& method) {
    const std::lock_guard lock(mutex);
    std::size_t count = 0;
    for (const auto& each : asked) count += each == method ? 1U : 0U;
    return count;
  }
  /// Needs the mutex.
  Result<std::string> answer(const worker::UpstreamRequest& request) {
    const auto method = *mcp::decode_string(*mcp::member(request.message, "method"));
    const std::string id = std::to_string(request.id);
    if (fails) return *fails;
    const auto found = lists.find(method);
    if (found == lists.end()) return mcp::error_body(id, mcp::kMethodNotFoundCode, "Method not found");
    return mcp::result_body(id, found->second);
  }
  void release() {
    std::unique_lock lock(mutex);
    auto [request, done] = std::move(held.front());
    held.pop_front();
    auto result = answer(request);
    lock.unlock();
    done(std::move(result));
  }
};

class ServerUpstream final : public worker::Upstream {
 public:
  explicit ServerUpstream(std::shared_ptr<Server> server) : server_(std::move(server)) {}
  ~ServerUpstream() override {
    server_->fails = Error{Code::kCancelled, 0, "gone"};
    while (!server_->held.empty()) server_->release();
  }
  ServerUpstream(const ServerUpstream&) = delete;
  ServerUpstream& operator=(const ServerUpstream&) = delete;

  [[nodiscard]] const std::string& name() const override { return server_->name; }
  void send(worker::UpstreamRequest request, worker::UpstreamDone done) override {
    std::unique_lock lock(server_->mutex);
    server_->asked.push_back(*mcp::decode_string(*mcp::member(request.message, "method")));
    if (server_->holds) {
      server_->held.emplace_back(std::move(request), std::move(done));
      return;
    }
    if (server_->says && !server_->fails) introduction_ = std::make_shared<const std::string>(*server_->says);
    auto result = server_->answer(request);
    lock.unlock();
    done(std::move(result));
  }
  void cancel(std::uint64_t /*id*/) override {}
  void on_tools_changed(std::function<void()> /*changed*/) override {}
  [[nodiscard]] std::shared_ptr<const std::string> introduction() const override {
    const std::lock_guard lock(server_->mutex);
    return introduction_;
  }
  [[nodiscard]] worker::UpstreamStatus status() const override { return {server_->name, "fake", "ready", 0, 0}; }

 private:
  std::shared_ptr<Server> server_;
  std::shared_ptr<const std::string> introduction_;
};

/// Options and servers are set before the first question.
struct Gathering {
  FakeClock clock;
  worker::FederationOptions options;
  std::vector<std::shared_ptr<Server>> servers;
  std::shared_ptr<worker::Backends> backends;
  std::unique_ptr<worker::Federation> made;

  Gathering() = default;
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;
  ~Gathering() {
    if (backends) backends->close();
  }

  std::shared_ptr<Server> server(const std::string& name) {
    auto server = std::make_shared<Server>();
    server->name = name;
    return servers.emplace_back(std::move(server));
  }
  worker::Federation& federation() {
    if (made) return *made;
    std::vector<std::unique_ptr<worker::Upstream>> upstreams;
    for (const auto& server : servers) upstreams.push_back(std::make_unique<ServerUpstream>(server));
    backends = std::make_shared<worker::Backends>(std::move(upstreams));
    made = std::make_unique<worker::Federation>(options, clock, backends);
    return *made;
  }

  /// The list's body, or empty while it is on its way (then `late` has it once it comes).
  std::string list(worker::Listing listing, const std::string& server_id = {}, const std::string& params = {}) {
    const std::string body = mcp::padded_copy(R"({"jsonrpc":"2.0","id":1,"method":"any")" +
                                              (params.empty() ? "" : R"(,"params":)" + params) + "}");
    mcp::Envelope envelope;
    EXPECT_EQ(reader.read(body, envelope), mcp::EnvelopeFault::kNone);
    late = std::make_shared<std::string>();
    federation().list(listing, server_id, envelope, reader,
                      [late = late](mcp::Response response) { *late = std::move(response.body); });
    return *late;
  }

  /// Who is asked, as "a b", with "→RAW" where the name is replaced, and "?", "*" or "!" behind where it falls through,
  /// asks everybody, or is repeatable; or the error's message.
  std::string pick(const std::string& method, const std::string& params, const std::string& server_id = {},
                   const std::string& session = {}) {
    picked_body = mcp::padded_copy(R"({"jsonrpc":"2.0","id":1,"method":")" + method + R"(","params":)" + params + "}");
    mcp::Envelope envelope;
    EXPECT_EQ(reader.read(picked_body, envelope), mcp::EnvelopeFault::kNone);
    late = std::make_shared<std::string>();
    federation().pick(
        server_id, envelope, reader,
        [this, late = late](Result<worker::Pick> pick) {
          *late = pick ? describe(*pick) : std::string(pick.error().message);
        },
        session);
    return *late;
  }
  std::string describe(const worker::Pick& pick) const {
    std::string out;
    for (const std::size_t index : pick.upstreams) out += (out.empty() ? "" : " ") + servers[index]->name;
    if (!pick.raw_span.empty()) {
      const auto at = static_cast<std::size_t>(pick.raw_span.data() - picked_body.data());
      EXPECT_LE(at + pick.raw_span.size(), picked_body.size());
      out += " " + std::string(pick.raw_span) + "→" + pick.replacement;
    }
    return out + (pick.falls_through ? "?" : "") + (pick.everybody ? "*" : "") + (pick.repeatable ? "!" : "");
  }
  /// What initialize tells; waits for it.
  std::string introduced(const std::string& server_id = {}) {
    std::mutex mutex;
    std::condition_variable told;
    std::optional<worker::Introduction> result;
    federation().introduce(server_id, [&](worker::Introduction introduction) {
      const std::lock_guard lock(mutex);
      result = std::move(introduction);
      told.notify_all();
    });
    std::unique_lock lock(mutex);
    told.wait(lock, [&] { return result.has_value(); });
    return result->capabilities + result->instructions;
  }

  mcp::EnvelopeReader reader;
  std::string picked_body;
  std::shared_ptr<std::string> late;
};

/// A raw result with these entries, each `{"KEY":"NAME"}`.
inline std::string entries(const std::string& member, const std::string& key, const std::vector<std::string>& names) {
  std::string array;
  for (const std::string& name : names) array += (array.empty() ? "" : ",") + (R"({")" + key + R"(":")" + name + "\"}");
  return R"({")" + member + R"(":[)" + array + "]}";
}
inline std::string tools(const std::vector<std::string>& names) { return entries("tools", "name", names); }
inline std::string prompts(const std::vector<std::string>& names) { return entries("prompts", "name", names); }
inline std::string resources(const std::vector<std::string>& uris) { return entries("resources", "uri", uris); }
inline std::string templates(const std::vector<std::string>& uris) {
  return entries("resourceTemplates", "uriTemplate", uris);
}
/// The body of an answer with that result.
inline std::string answered(const std::string& result) { return mcp::result_body("1", result); }

}  // namespace ringside::test
