#include "supervisor/health.h"

namespace ringside::supervisor {
namespace {

std::string of(std::size_t count, std::size_t all, std::string_view what) {
  return std::to_string(count) + " of " + std::to_string(all) + " workers " + std::string(what);
}

}  // namespace

OverallHealth judge(bool stopping, std::size_t wanted, const std::vector<WorkerHealth>& workers) {
  if (stopping) return {false, false, "draining", "the supervisor stops"};
  std::size_t taking = 0;     // ready, heard of, not draining
  std::size_t good = 0;       // of those: ok
  std::size_t storeless = 0;  // not ready by their own word
  std::size_t silent = 0;
  for (const WorkerHealth& worker : workers) {
    if (!worker.ready || worker.says == "draining") continue;
    if (!worker.says.empty() && worker.silent_for > kSilent) {
      ++silent;
    } else if (worker.says == "not ready") {
      ++storeless;
    } else {
      ++taking;
      if (worker.says != "degraded") ++good;
    }
  }
  OverallHealth health;
  health.ready = taking > 0;
  health.serving = good > 0;
  health.status = taking == 0 ? "not ready" : good < wanted ? "degraded" : "ok";
  if (health.status == "ok") return health;
  if (silent > 0) {
    health.reason = of(silent, wanted, "say nothing any more");
  } else if (storeless > 0) {
    health.reason = of(storeless, wanted, "get no answer from the session store");
  } else if (good < taking) {
    health.reason = of(taking - good, wanted, "reach no upstream");
  } else {
    health.reason = of(taking, wanted, "are ready");
  }
  return health;
}

}  // namespace ringside::supervisor
