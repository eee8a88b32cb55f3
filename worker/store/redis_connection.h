#pragma once
// One connection to a Redis, made when it is needed and made again when it was lost. Inside of this room only.

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct redisContext;
struct redisReply;

namespace ringside::worker {

/// `unix:/PATH` or `HOST:PORT`.
struct RedisPlace {
  std::string path;  ///< empty: over TCP
  std::string host;
  int port = 0;
};
[[nodiscard]] std::optional<RedisPlace> redis_place(std::string_view url);

struct RedisContextEnd {
  void operator()(redisContext* context) const;
};
struct RedisReplyEnd {
  void operator()(redisReply* reply) const;
};
using RedisContextRef = std::unique_ptr<redisContext, RedisContextEnd>;
using RedisReplyRef = std::unique_ptr<redisReply, RedisReplyEnd>;

/// Null when it cannot be reached in time. Nothing it does later takes longer than `timeout`.
[[nodiscard]] RedisContextRef connect_redis(const RedisPlace& place, std::chrono::milliseconds timeout);

/// Thread-safe; one command at a time.
class RedisConnection {
 public:
  RedisConnection(RedisPlace place, std::string what) : place_(std::move(place)), what_(std::move(what)) {}
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;
  ~RedisConnection() = default;

  /// Runs one command. kUnavailable: not reached, lost on the way (it may have run), or an error of Redis; the log
  /// says so once, until it works again. After a failure nobody waits for the next try: it is made when a pause is
  /// over.
  Result<RedisReplyRef> run(const std::vector<std::string_view>& arguments);

 private:
  [[nodiscard]] bool ready();
  Error failed(std::string_view why);

  const RedisPlace place_;
  const std::string what_;  // for the log
  std::mutex mutex_;
  RedisContextRef context_;
  std::chrono::steady_clock::time_point again_{};
  std::chrono::milliseconds pause_{0};
  bool told_ = false;
};

/// A reply's integer, or the text in it. Whether it is an array, and what is in it.
[[nodiscard]] std::int64_t integer_of(const redisReply& reply);
[[nodiscard]] std::string text_of(const redisReply& reply);
[[nodiscard]] bool is_nil(const redisReply& reply);
[[nodiscard]] std::vector<const redisReply*> items_of(const redisReply& reply);

}  // namespace ringside::worker
