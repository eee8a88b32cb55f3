#pragma once
// Asking an upstream and waiting for what it says, for the tests of every kind of upstream.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "mcp/envelope.h"
#include "worker/upstream/upstream.h"

namespace ringside::worker {

inline SteadyTime in(Duration time) { return system_clock().now() + time; }

inline std::string request_text(std::uint64_t id, const std::string& method, const std::string& params) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":")" + method + R"(","params":)" + params + "}";
}

/// A request under way. get() fails the promise loudly rather than wait for good.
class Asked {
 public:
  explicit Asked(std::future<Result<std::string>> answer) : answer_(std::move(answer)) {}
  [[nodiscard]] bool pending() const { return answer_.wait_for(std::chrono::seconds(0)) != std::future_status::ready; }
  Result<std::string> get() {
    if (answer_.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      return Error{Code::kSystem, 0, "the test got no answer at all"};
    }
    return answer_.get();
  }
  /// The code it failed with; fails the caller's expectation with kSystem if it did not.
  Code code() {
    const auto answer = get();
    return answer.ok() ? Code::kSystem : answer.error().code;
  }

 private:
  std::future<Result<std::string>> answer_;
};

/// Sends; `done` fulfils a promise, so a second call of it would throw.
inline Asked ask(Upstream& upstream, std::uint64_t id, const std::string& method, const std::string& params = "{}",
                 SteadyTime deadline = SteadyTime::max()) {
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  Asked asked(promise->get_future());
  upstream.send({.message = request_text(id, method, params), .id = id, .deadline = deadline},
                [promise](Result<std::string> answer) { promise->set_value(std::move(answer)); });
  return asked;
}

/// Sends a request of which more is said than that.
inline Asked ask(Upstream& upstream, UpstreamRequest request) {
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  Asked asked(promise->get_future());
  upstream.send(std::move(request), [promise](Result<std::string> answer) { promise->set_value(std::move(answer)); });
  return asked;
}

/// The same in a client's own conversation.
inline Asked ask_as(Upstream& upstream, PersonaRef who, std::uint64_t id, const std::string& method,
                    const std::string& params = "{}") {
  return ask(upstream, {.message = request_text(id, method, params), .id = id, .persona = std::move(who)});
}

/// The same as the first, and what comes before the answer goes to `hears`.
inline Asked ask_hearing(Upstream& upstream, std::uint64_t id, const std::string& method, const std::string& params,
                         std::function<bool(std::string)> hears) {
  auto promise = std::make_shared<std::promise<Result<std::string>>>();
  Asked asked(promise->get_future());
  upstream.send({.message = request_text(id, method, params), .id = id, .on_message = std::move(hears)},
                [promise](Result<std::string> answer) { promise->set_value(std::move(answer)); });
  return asked;
}

/// Keeps what it hears; says what it is told to.
class Ear {
 public:
  std::function<bool(std::string)> hears() {
    return [this](std::string message) {
      const std::lock_guard lock(mutex_);
      heard_.push_back(std::move(message));
      changed_.notify_all();
      return !slow_;
    };
  }
  void slow(bool slow) {
    const std::lock_guard lock(mutex_);
    slow_ = slow;
  }
  /// Waits for so many messages; false after twenty seconds.
  [[nodiscard]] bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return heard_.size() >= count; });
  }
  [[nodiscard]] std::vector<std::string> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> heard_;
  bool slow_ = false;
};

inline std::string progress_of(std::uint64_t id, int done = 1) {
  return R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":)" + std::to_string(id) +
         R"(,"progress":)" + std::to_string(done) + "}}";
}

/// The raw result of an answer, or what went wrong in words.
inline std::string result_of(Asked asked) {
  const auto answer = asked.get();
  if (!answer.ok()) return "error: " + std::string(answer.error().message);
  const auto result = mcp::member(*answer, "result");
  return result ? std::string(*result) : "no result: " + *answer;
}

}  // namespace ringside::worker
