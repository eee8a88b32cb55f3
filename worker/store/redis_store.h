#pragma once
// Sessions and streams in a Redis that several Ringsides share: each serves the others' sessions and goes on with their
// streams.

#include <functional>
#include <string>

#include "worker/store/store.h"

namespace ringside::worker {

/// `url`: `unix:PATH` or `HOST:PORT` (neither encrypted nor with a password: a socket, or a network of one's own).
/// Whether a Redis is there is not asked before the first use; without one everything is kUnavailable, and tried again.
/// `changed`: another Ringside has ended sessions, or may have; on a thread of the session store's, which is gone with
/// it. kInvalid: no such place.
Result<Stores> open_redis_stores(const std::string& url, EventLimits limits, std::function<void()> changed);

}  // namespace ringside::worker
