#pragma once
// One call of a tool, from the request to its answer. Shared by whoever still works on it; thread-safe.

#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

namespace ringside::demo {

/// Where the answer to one request goes, over whatever transport it came. Dropped unanswered when the call is
/// cancelled.
class Reply {
 public:
  virtual ~Reply() = default;
  /// A JSON-RPC notification on the way to the answer.
  virtual void notify(const std::string& message) = 0;
  /// The JSON-RPC response; once, and last.
  virtual void answer(const std::string& message) = 0;
};

class Call {
 public:
  /// `id` is the request's raw JSON id; `progress_token` is null when the caller wants no progress.
  Call(std::string id, nlohmann::json progress_token, std::shared_ptr<Reply> reply);

  /// A result of one text.
  void finish(const std::string& text, bool is_error = false);
  /// Any JSON-RPC result.
  void finish_with(const nlohmann::json& result);
  /// A JSON-RPC error.
  void fail(int code, const std::string& message);
  /// notifications/progress, if the caller asked for it.
  void progress(int done, int total);

  /// Nothing is said any more.
  void cancel();
  [[nodiscard]] bool over() const;

 private:
  std::shared_ptr<Reply> take_reply();

  std::string id_;
  nlohmann::json progress_token_;
  mutable std::mutex mutex_;
  std::shared_ptr<Reply> reply_;  // null: answered or cancelled
};

}  // namespace ringside::demo
