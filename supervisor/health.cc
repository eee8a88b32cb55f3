#include "supervisor/health.h"

namespace ringside::supervisor {
namespace {

std::string of(std::size_t count, std::size_t all, std::string_view what) {
  return std::to_string(count) + " of " + std::to_string(all) + " workers " + std::string(what);
}

/// How many of the workers that serve are what. One that drains serves nobody new.
struct Census {
  std::size_t taking = 0;     ///< heard of, and taking calls
  std::size_t good = 0;       ///< of those: ok
  std::size_t storeless = 0;  ///< not ready by their own word
  std::size_t silent = 0;
};

Census count(const PolicyState& policy, const std::vector<WorkerWord>& words) {
  Census census;
  for (std::size_t i = 0; i < policy.slots.size(); ++i) {
    const WorkerWord word = i < words.size() ? words[i] : WorkerWord();
    if (policy.slots[i].phase != Phase::kReady || word.says == "draining") continue;
    if (!word.says.empty() && word.silent_for > kSilent) {
      ++census.silent;
    } else if (word.says == "not ready") {
      ++census.storeless;
    } else {
      ++census.taking;
      if (word.says != "degraded") ++census.good;
    }
  }
  return census;
}

std::string reason_of(const Census& census, const PolicyState& policy, const std::string& looping) {
  if (census.silent > 0) return of(census.silent, policy.wanted, "say nothing any more");
  if (census.storeless > 0) return of(census.storeless, policy.wanted, "get no answer from the session store");
  if (!looping.empty()) return looping + (looping.find(',') == std::string::npos ? " is" : " are") + " in a crash loop";
  if (census.good < census.taking) return of(census.taking - census.good, policy.wanted, "reach no upstream");
  return of(census.taking, policy.wanted, "are ready");
}

}  // namespace

OverallHealth judge(const PolicyState& policy, const std::vector<WorkerWord>& words) {
  if (policy.stopping) return {false, false, "draining", "the supervisor stops", {}};
  const Census census = count(policy, words);
  OverallHealth health;
  for (const SlotState& slot : policy.slots) {
    if (!broken(policy, slot)) continue;
    health.looping += (health.looping.empty() ? "worker " : ", worker ") + std::to_string(slot.place);
  }
  health.ready = census.taking > 0;
  health.serving = census.good > 0;
  health.status = census.taking == 0 ? "not ready" : census.good < policy.wanted ? "degraded" : "ok";
  if (health.status != "ok") health.reason = reason_of(census, policy, health.looping);
  return health;
}

}  // namespace ringside::supervisor
