#pragma once
// The parts of the store in a Redis. Inside of this room only.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "worker/store/redis_connection.h"
#include "worker/store/store.h"

namespace ringside::worker {

/// The channel on which a Ringside says that sessions have ended; the message is its own name.
inline constexpr std::string_view kRedisEpoch = "ringside:epoch";

/// Hears on a thread of its own what other Ringsides say. `changed` is also called when the connection was lost
/// meanwhile, for what was said then is not heard.
class RedisListener {
 public:
  RedisListener(RedisPlace place, std::string node, std::function<void()> changed);
  ~RedisListener();
  RedisListener(const RedisListener&) = delete;
  RedisListener& operator=(const RedisListener&) = delete;

 private:
  void run(const std::stop_token& stop);
  void hear(int stop, redisContext& context);

  const RedisPlace place_;
  const std::string node_;
  const std::function<void()> changed_;
  std::jthread thread_;  // last: it uses the others
};

std::unique_ptr<SessionStore> make_redis_sessions(const RedisPlace& place, std::string node,
                                                  std::unique_ptr<RedisListener> listener);
std::unique_ptr<EventLog> make_redis_events(const RedisPlace& place, EventLimits limits);

}  // namespace ringside::worker
