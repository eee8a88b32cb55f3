#pragma once
// Walks through what can happen in a model: a world of small integers, and agents that do one step at a time. A model
// has step(world, agent), false when the agent cannot do one; fault(), the promise that a step has broken; and
// fault_at_rest(world), what is wrong with a world in which nobody can do a step.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <vector>

namespace ringside::shm::model {

struct Cast {
  const char* letters;  ///< one for each agent, as traces name them
  int agents;
  int death = -1;  ///< the agent that is no way out: whoever waits for it waits for good
};

struct Verdict {
  std::string fault;  ///< empty: every promise holds
  std::string trace;  ///< who did a step, up to the fault
  std::size_t states = 0;
  std::size_t rests = 0;  ///< worlds in which everything was done
};

template <typename World>
std::uint64_t hash_of(const World& world) {
  static_assert(std::is_trivially_copyable_v<World> && alignof(World) == 1, "equal worlds are equal bytes");
  constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15;
  unsigned char bytes[(sizeof world + 7) / 8 * 8] = {};
  std::memcpy(bytes, &world, sizeof world);
  std::uint64_t hash = kPrime;
  for (std::size_t i = 0; i < sizeof bytes; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i, sizeof word);
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 29U;
  }
  return hash == 0 ? 1 : hash;
}

/// Hashes, open addressing: a world is known by 64 bits of it.
class Seen {
 public:
  /// False: it was there.
  bool insert(std::uint64_t hash) {
    if (2 * (count_ + 1) > table_.size()) grow();
    return put(hash);
  }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  bool put(std::uint64_t hash) {
    std::size_t at = hash & (table_.size() - 1);
    for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
      if (table_[at] == hash) return false;
    }
    table_[at] = hash;
    ++count_;
    return true;
  }
  void grow() {
    std::vector<std::uint64_t> old(table_.size() * 2);
    old.swap(table_);
    count_ = 0;
    for (const std::uint64_t hash : old) {
      if (hash != 0) put(hash);
    }
  }
  std::vector<std::uint64_t> table_ = std::vector<std::uint64_t>(1U << 16U);
  std::size_t count_ = 0;
};

/// Depth first through every interleaving. `essence` leaves out of a world what nobody will look at again, so that
/// worlds with the same future are one.
template <typename Model, typename World, typename Essence>
Verdict explore(Model& model, const World& start, const Cast& cast, Essence&& essence) {
  struct Frame {
    World world;
    std::uint64_t hash;
    int next = 0;
    bool moved = false;
  };
  Verdict verdict;
  Seen seen;
  std::unordered_set<std::uint64_t> path;
  std::vector<Frame> stack{{.world = start, .hash = hash_of(essence(start))}};
  seen.insert(stack[0].hash);
  path.insert(stack[0].hash);
  const auto fail = [&](const char* fault, int last) {
    verdict.fault = fault;
    for (const Frame& frame : stack) verdict.trace += cast.letters[frame.next == 0 ? last : frame.next - 1];
  };
  while (!stack.empty() && verdict.fault.empty()) {
    Frame& frame = stack.back();
    if (frame.next == cast.agents) {
      const char* const fault = frame.moved ? nullptr : model.fault_at_rest(frame.world);
      if (fault != nullptr) fail(fault, 0);
      verdict.rests += frame.moved ? 0 : 1;
      path.erase(frame.hash);
      stack.pop_back();
      continue;
    }
    const int agent = frame.next++;
    World world = frame.world;
    if (!model.step(world, agent)) continue;
    frame.moved = frame.moved || agent != cast.death;
    const std::uint64_t hash = hash_of(essence(world));
    if (model.fault() != nullptr) {
      fail(model.fault(), agent);
    } else if (path.contains(hash)) {
      fail("nobody runs in circles", agent);
    } else if (seen.insert(hash)) {
      path.insert(hash);
      stack.push_back({.world = world, .hash = hash});
    }
  }
  verdict.states = seen.size();
  return verdict;
}

/// One run, by chance.
template <typename Model, typename World>
Verdict walk(Model& model, World world, const Cast& cast, std::mt19937_64& random) {
  Verdict verdict;
  // Some runs are lopsided: an agent sleeps long.
  std::vector<std::uint64_t> weights(static_cast<std::size_t>(cast.agents));
  for (auto& weight : weights) weight = 1 + random() % 30;
  if (cast.death >= 0) weights[static_cast<std::size_t>(cast.death)] = 1;
  while (true) {
    int chosen = -1;
    bool moved = false;
    std::uint64_t total = 0;
    World next;
    for (int agent = 0; agent < cast.agents; ++agent) {
      World tried = world;
      if (!model.step(tried, agent)) continue;
      const std::uint64_t weight = weights[static_cast<std::size_t>(agent)];
      moved = moved || agent != cast.death;
      total += weight;
      if (random() % total >= weight) continue;
      chosen = agent;
      next = tried;
    }
    if (model.fault() != nullptr) verdict.fault = model.fault();
    if (!moved) {
      if (const char* const fault = model.fault_at_rest(world)) verdict.fault = fault;
      return verdict;
    }
    if (!verdict.fault.empty()) return verdict;
    verdict.trace += cast.letters[chosen];
    world = next;
    ++verdict.states;
  }
}

}  // namespace ringside::shm::model
