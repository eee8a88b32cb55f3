#include "supervisor/policy.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace ringside::supervisor {
namespace {

constexpr SteadyTime kNever = SteadyTime::max();
constexpr std::uint32_t kMostDoublings = 20;

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

bool has_process(Phase phase) { return phase != Phase::kBackingOff && phase != Phase::kStopped; }

/// One step over one pool; collects what is to be done.
class Step {
 public:
  Step(PolicyState& state, SteadyTime now) : state_(state), now_(now) {}

  void operator()(const event::Ready& event) {
    SlotState& slot = at(event.slot);
    if (slot.phase != Phase::kStarting) return;
    slot.ready_since = now_;
    enter(event.slot, Phase::kReady, now_ + state_.options.stuck_within, "its doors are open");
    const auto relieved = std::exchange(slot.relieves, std::nullopt);
    if (relieved) retire(*relieved, "it is relieved by a new one");
  }

  void operator()(const event::Exited& event) {
    if (has_process(at(event.slot).phase)) gone(event.slot, "it ended", event.exit);
  }

  void operator()(const event::SpawnFailed& event) {
    if (at(event.slot).phase == Phase::kStarting) gone(event.slot, "it could not be started", std::nullopt);
  }

  void operator()(const event::LinkClosed& event) {
    const Phase phase = at(event.slot).phase;
    if (phase != Phase::kStarting && phase != Phase::kReady) return;
    enter(event.slot, Phase::kEnding, now_ + state_.options.end_within, "it closed its link");
  }

  void operator()(const event::LinkBroken& event) {
    if (has_process(at(event.slot).phase)) kill(event.slot, "what it said is no message of a worker");
  }

  void operator()(const event::Heartbeat& event) {
    SlotState& slot = at(event.slot);
    if (slot.phase != Phase::kReady) return;
    if (slot.ready_since && now_ - *slot.ready_since >= state_.options.forgiven_after) slot.failures = 0;
    if (event.progress != slot.progress) {
      slot.progress = event.progress;
      slot.suspected = false;
      slot.deadline = now_ + state_.options.stuck_within;
    }
    const bool used = (slot.calls_limit != 0 && event.calls >= slot.calls_limit) ||
                      (slot.rss_limit != 0 && event.rss_bytes >= slot.rss_limit);
    if (used) slot.wear = std::max(slot.wear, Wear::kUsed);
  }

  void operator()(const event::Deadline& /*event*/) {
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      if (state_.slots[i].deadline <= now_) overdue(i);
    }
  }

  void operator()(const event::Resize& event) {
    RS_CHECK(event.workers > 0, "a pool has a worker");
    state_.wanted = event.workers;
    std::erase_if(state_.held, [&](std::uint32_t place) { return place >= state_.wanted; });
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      if (state_.slots[i].place >= state_.wanted) retire(i, "fewer workers are wanted");
    }
  }

  void operator()(const event::Renew& event) {
    state_.options = event.options;
    ++state_.generation;
    (*this)(event::Resize{event.workers});
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      SlotState& slot = state_.slots[i];
      if (slot.leaving) continue;
      if (slot.phase == Phase::kBackingOff) {
        // What kept it from living may be what has changed.
        slot.failures = 0;
        slot.deadline = now_;
      } else if (slot.phase == Phase::kStarting) {
        slot.planned = true;
        kill(i, "there is a new configuration");
      }
    }
    (*this)(event::Deadline{});
  }

  void operator()(const event::Restart& event) {
    state_.held.erase(event.place);
    const auto found = incumbent(state_, event.place);
    if (!found) return;
    SlotState& slot = state_.slots[*found];
    slot.failures = 0;
    if (slot.phase == Phase::kReady) slot.wear = Wear::kAsked;
    if (slot.phase == Phase::kBackingOff) spawn(*found);
  }

  void operator()(const event::Retire& event) {
    state_.held.insert(event.place);
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      if (state_.slots[i].place == event.place) retire(i, "an operator asked for it");
    }
  }

  void operator()(const event::Stop& /*event*/) {
    if (state_.stopping) return;
    state_.stopping = true;
    for (std::size_t i = 0; i < state_.slots.size(); ++i) retire(i, "the supervisor stops");
  }

  void operator()(const event::StopAtOnce& /*event*/) {
    (*this)(event::Stop{});
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      const SlotState& slot = state_.slots[i];
      const bool waited_for = slot.phase == Phase::kDraining || slot.phase == Phase::kEnding;
      if (waited_for && slot.deadline != kNever) kill(i, "the supervisor stops at once");
    }
  }

  std::vector<Action> finish() {
    if (!state_.stopping) balance();
    const bool all = std::all_of(state_.slots.begin(), state_.slots.end(),
                                 [](const SlotState& slot) { return slot.phase == Phase::kStopped; });
    if (all && state_.stopping && !state_.finished) {
      state_.finished = true;
      actions_.emplace_back(action::Finish{});
    }
    return std::move(actions_);
  }

 private:
  SlotState& at(std::size_t slot) {
    RS_CHECK(slot < state_.slots.size(), "an event is about a slot that exists");
    return state_.slots[slot];
  }

  void enter(std::size_t index, Phase phase, SteadyTime deadline, std::string_view why,
             std::optional<Exit> exit = std::nullopt, Duration in = Duration(0)) {
    SlotState& slot = state_.slots[index];
    const bool expected =
        state_.stopping || slot.leaving || slot.planned || phase == Phase::kStarting || phase == Phase::kReady;
    actions_.emplace_back(action::Announce{index, slot.phase, phase, why, exit, in, expected});
    slot.phase = phase;
    slot.deadline = deadline;
  }

  void overdue(std::size_t index) {
    SlotState& slot = state_.slots[index];
    switch (slot.phase) {
      case Phase::kBackingOff:
        return spawn(index);
      case Phase::kStarting:
        return kill(index, "it was not ready in time");
      case Phase::kDraining:
        return kill(index, "it did not finish in time");
      case Phase::kEnding:
        return kill(index, "it did not end in time");
      case Phase::kReady:
        if (!std::exchange(slot.suspected, true)) {
          slot.deadline = now_ + state_.options.stuck_grace;
          return;
        }
        enter(index, Phase::kEnding, now_ + state_.options.core_within, "it is stuck: one of its loops does not turn");
        actions_.emplace_back(action::Abort{index});
        return;
      case Phase::kStopped:
        return;
    }
  }

  void spawn(std::size_t index) {
    SlotState& slot = state_.slots[index];
    ++state_.starts[slot.place];
    slot.ready_since.reset();
    slot.generation = state_.generation;
    slot.planned = slot.suspected = false;
    slot.wear = Wear::kNone;
    slot.progress = 0;
    slot.calls_limit = with_jitter(state_.options.recycle_calls);
    slot.rss_limit = with_jitter(state_.options.recycle_rss_bytes);
    enter(index, Phase::kStarting, now_ + state_.options.start_limit,
          slot.relieves ? "it is started to relieve another" : "it is started");
    actions_.emplace_back(action::Spawn{index});
  }

  void kill(std::size_t index, std::string_view why) {
    enter(index, Phase::kEnding, kNever, why);
    actions_.emplace_back(action::Kill{index});
  }

  /// Its end is wanted, and nobody comes after it.
  void retire(std::size_t index, std::string_view why) {
    SlotState& slot = state_.slots[index];
    slot.leaving = true;
    slot.relieves.reset();
    switch (slot.phase) {
      case Phase::kBackingOff:
        return enter(index, Phase::kStopped, kNever, why);
      case Phase::kStarting:
        return kill(index, why);
      case Phase::kReady:
        enter(index, Phase::kDraining, now_ + state_.options.drain_within + state_.options.drain_grace, why);
        actions_.emplace_back(action::Drain{index, state_.options.drain_within});
        return;
      case Phase::kDraining:
      case Phase::kEnding:
      case Phase::kStopped:
        return;
    }
  }

  void gone(std::size_t index, std::string_view why, std::optional<Exit> exit) {
    SlotState& slot = state_.slots[index];
    if (state_.stopping || slot.leaving) return enter(index, Phase::kStopped, kNever, why, exit);
    if (const auto relief = relief_of(index)) {
      state_.slots[*relief].relieves.reset();
      return enter(index, Phase::kStopped, kNever, why, exit);
    }
    if (slot.ready_since && now_ - *slot.ready_since >= state_.options.forgiven_after) slot.failures = 0;
    if (!slot.planned) ++slot.failures;
    const Duration delay = slot.planned ? Duration(0) : back_off(index);
    enter(index, Phase::kBackingOff, now_ + delay, why, exit, delay);
    if (delay == Duration(0)) spawn(index);
  }

  [[nodiscard]] std::optional<std::size_t> relief_of(std::size_t index) const {
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      if (state_.slots[i].relieves == index) return i;
    }
    return std::nullopt;
  }

  /// Nothing after the first failure; then doubling from backoff_first to backoff_most. Each is cut by up to a half, so
  /// that workers which fell together do not rise together for ever. A broken circuit waits longer, but not while
  /// nobody else serves.
  Duration back_off(std::size_t index) {
    const std::uint32_t failures = state_.slots[index].failures;
    if (failures <= 1) return Duration(0);
    const auto& options = state_.options;
    const std::uint32_t doublings = std::min(failures - 2, kMostDoublings);
    Duration whole = std::min(options.backoff_first * (std::int64_t{1} << doublings), options.backoff_most);
    const bool served = std::any_of(state_.slots.begin(), state_.slots.end(), [&](const SlotState& slot) {
      return slot.phase == Phase::kReady && &slot != &state_.slots[index];
    });
    if (failures >= options.breaker_after && served) whole = options.breaker_pause;
    const auto half = static_cast<std::uint64_t>(whole.count()) / 2;
    return whole - Duration(static_cast<std::int64_t>(half == 0 ? 0 : next_random(state_.random) % half));
  }

  /// Cut by up to a quarter, so that workers which started together are not used up together.
  std::uint64_t with_jitter(std::uint64_t limit) {
    return limit == 0 ? 0 : limit - next_random(state_.random) % (limit / 4 + 1);
  }

  std::size_t free_slot() {
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      if (state_.slots[i].phase == Phase::kStopped) {
        state_.slots[i] = SlotState();
        return i;
      }
    }
    state_.slots.emplace_back();
    return state_.slots.size() - 1;
  }

  /// Everybody who is wanted is there, and who is worn or old is relieved, one after the other.
  void balance() {
    for (std::uint32_t place = 0; place < state_.wanted; ++place) {
      if (incumbent(state_, place) || state_.held.count(place) > 0) continue;
      const std::size_t added = free_slot();
      state_.slots[added].place = place;
      spawn(added);
    }
    const auto draining = [](const SlotState& slot) { return slot.phase == Phase::kDraining; };
    const bool busy = std::any_of(state_.slots.begin(), state_.slots.end(), draining);
    for (const auto& slot : state_.slots) {
      if (slot.relieves) return;
    }
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      const SlotState& old = state_.slots[i];
      const bool due =
          old.generation != state_.generation || old.wear == Wear::kAsked || (old.wear == Wear::kUsed && !busy);
      if (old.phase != Phase::kReady || !due) continue;
      const std::uint32_t place = old.place;
      const std::size_t relief = free_slot();
      state_.slots[relief].place = place;
      state_.slots[relief].relieves = i;
      return spawn(relief);
    }
  }

  PolicyState& state_;
  SteadyTime now_;
  std::vector<Action> actions_;
};

}  // namespace

std::vector<Action> step(PolicyState& state, const Event& event, SteadyTime now) {
  Step step(state, now);
  std::visit(step, event);
  return step.finish();
}

}  // namespace ringside::supervisor
