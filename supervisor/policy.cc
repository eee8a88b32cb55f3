#include "supervisor/policy.h"

#include <algorithm>

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
    enter(event.slot, Phase::kReady, kNever, "its doors are open");
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

  void operator()(const event::Deadline& /*event*/) {
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      const SlotState& slot = state_.slots[i];
      if (slot.deadline > now_) continue;
      switch (slot.phase) {
        case Phase::kBackingOff:
          spawn(i);
          break;
        case Phase::kStarting:
          kill(i, "it was not ready in time");
          break;
        case Phase::kDraining:
          kill(i, "it did not finish in time");
          break;
        case Phase::kEnding:
          kill(i, "it did not end in time");
          break;
        case Phase::kReady:
        case Phase::kStopped:
          break;
      }
    }
  }

  void operator()(const event::Stop& /*event*/) {
    if (state_.stopping) return;
    state_.stopping = true;
    for (std::size_t i = 0; i < state_.slots.size(); ++i) {
      switch (state_.slots[i].phase) {
        case Phase::kBackingOff:
          enter(i, Phase::kStopped, kNever, "the supervisor stops");
          break;
        case Phase::kStarting:
          kill(i, "the supervisor stops");
          break;
        case Phase::kReady:
          enter(i, Phase::kDraining, now_ + state_.options.drain_within + state_.options.drain_grace,
                "the supervisor stops");
          actions_.emplace_back(action::Drain{i, state_.options.drain_within});
          break;
        case Phase::kDraining:
        case Phase::kEnding:
        case Phase::kStopped:
          break;
      }
    }
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
    const bool all = std::all_of(state_.slots.begin(), state_.slots.end(),
                                 [](const SlotState& slot) { return slot.phase == Phase::kStopped; });
    if (all && !state_.finished) {
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
    actions_.emplace_back(action::Announce{index, slot.phase, phase, why, exit, in});
    slot.phase = phase;
    slot.deadline = deadline;
  }

  void spawn(std::size_t index) {
    SlotState& slot = state_.slots[index];
    ++slot.starts;
    slot.ready_since.reset();
    enter(index, Phase::kStarting, now_ + state_.options.start_limit, "it is started");
    actions_.emplace_back(action::Spawn{index});
  }

  void kill(std::size_t index, std::string_view why) {
    enter(index, Phase::kEnding, kNever, why);
    actions_.emplace_back(action::Kill{index});
  }

  void gone(std::size_t index, std::string_view why, std::optional<Exit> exit) {
    SlotState& slot = state_.slots[index];
    if (state_.stopping) return enter(index, Phase::kStopped, kNever, why, exit);
    if (slot.ready_since && now_ - *slot.ready_since >= state_.options.forgiven_after) slot.failures = 0;
    ++slot.failures;
    const Duration delay = back_off(slot.failures);
    enter(index, Phase::kBackingOff, now_ + delay, why, exit, delay);
    if (delay == Duration(0)) spawn(index);
  }

  /// Nothing after the first failure; then doubling from backoff_first to backoff_most, of which each is cut by up to a
  /// half, so that workers which fell together do not rise together for ever.
  Duration back_off(std::uint32_t failures) {
    if (failures <= 1) return Duration(0);
    const std::uint32_t doublings = std::min(failures - 2, kMostDoublings);
    const Duration whole =
        std::min(state_.options.backoff_first * (std::int64_t{1} << doublings), state_.options.backoff_most);
    const auto half = static_cast<std::uint64_t>(whole.count()) / 2;
    return whole - Duration(static_cast<std::int64_t>(half == 0 ? 0 : next_random(state_.random) % half));
  }

  PolicyState& state_;
  SteadyTime now_;
  std::vector<Action> actions_;
};

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::kBackingOff:
      return "backing off";
    case Phase::kStarting:
      return "starting";
    case Phase::kReady:
      return "ready";
    case Phase::kDraining:
      return "draining";
    case Phase::kEnding:
      return "ending";
    case Phase::kStopped:
      return "stopped";
  }
  return "unknown";
}

std::string to_string(const Exit& exit) { return (exit.by_signal ? "signal " : "exit ") + std::to_string(exit.number); }

std::vector<Action> step(PolicyState& state, const Event& event, SteadyTime now) {
  Step step(state, now);
  std::visit(step, event);
  return step.finish();
}

SteadyTime next_deadline(const PolicyState& state) {
  SteadyTime next = kNever;
  for (const auto& slot : state.slots) next = std::min(next, slot.deadline);
  return next;
}

}  // namespace ringside::supervisor
