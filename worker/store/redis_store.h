#pragma once
// Sessions and streams in a Redis that several Ringsides share: each serves the others' sessions and goes on with their
// streams.

#include <functional>
#include <memory>
#include <string>

#include "worker/store/store.h"

namespace ringside::worker {

class RedisListener;

struct RedisStores {
  std::unique_ptr<SessionStore> sessions;
  std::unique_ptr<EventLog> events;
  std::shared_ptr<RedisListener> listener;  ///< `changed` is not called once it is gone
};

/// `url`: `unix:PATH` or `HOST:PORT` (neither encrypted nor with a password: a socket, or a network of one's own).
/// Whether a Redis is there is not asked before the first use; without one everything is kUnavailable, and tried again.
/// `changed`: another Ringside has ended sessions, or may have; on a thread of the store's. kInvalid: no such place.
Result<RedisStores> open_redis_stores(const std::string& url, EventLimits limits, std::function<void()> changed);

}  // namespace ringside::worker
