#include "worker/open_stores.h"

#include <utility>

#include "worker/store/redis_store.h"

namespace ringside::worker {

Result<Stores> open_stores(const link::v1::WorkerConfig& config, EventLimits limits, std::function<void()> changed) {
  if (config.store().kind() == "redis") return open_redis_stores(config.store().url(), limits, std::move(changed));
  return open_sqlite_stores(config.runtime_dir(), limits);
}

}  // namespace ringside::worker
