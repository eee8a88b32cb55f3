#include "tests/chaos/house_troubles.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace ringside::test::chaos {
namespace {

constexpr std::size_t kKeptWords = 20;

/// As in the log of ringsided.
std::string time_of_day() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() % 86'400'000;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%02d:%02d:%02d.%03d", static_cast<int>(ms / 3'600'000),
                static_cast<int>(ms / 60'000 % 60), static_cast<int>(ms / 1000 % 60), static_cast<int>(ms % 1000));
  return text.data();
}

bool one_of(Kinds kinds, Trouble what) { return std::find(kinds.begin(), kinds.end(), what) != kinds.end(); }

}  // namespace

std::size_t Troubles::begin(Trouble what) {
  const std::lock_guard lock(mutex_);
  spans_.push_back({what, std::chrono::steady_clock::now(), SteadyTime::max()});
  return spans_.size() - 1;
}

void Troubles::end(std::size_t which) {
  const std::lock_guard lock(mutex_);
  spans_[which].until = std::chrono::steady_clock::now();
}

bool Troubles::between(Kinds kinds, SteadyTime from, SteadyTime until, Duration wake) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(spans_.begin(), spans_.end(), [&](const Span& span) {
    const bool over = span.until != SteadyTime::max() && span.until + wake < from;
    return one_of(kinds, span.what) && span.from <= until && !over;
  });
}

Duration Troubles::time_in(Kinds kinds, SteadyTime from, SteadyTime until) const {
  const std::lock_guard lock(mutex_);
  Duration sum{0};
  for (const Span& span : spans_) {
    if (!one_of(kinds, span.what)) continue;
    // They are in order of their beginnings, so what has been counted ends where `from` is now.
    const SteadyTime begin = std::max(span.from, from);
    const SteadyTime end = std::min(span.until, until);
    if (begin >= end) continue;
    sum += end - begin;
    from = end;
  }
  return sum;
}

void Troubles::broken(const std::string& promise) {
  const std::lock_guard lock(mutex_);
  if (++broken_ <= kKeptWords) words_ += "  " + time_of_day() + " " + promise + "\n";
}

std::string Troubles::broken() const {
  const std::lock_guard lock(mutex_);
  if (broken_ == 0) return {};
  return std::to_string(broken_) + " promises were broken, the first of them:\n" + words_;
}

}  // namespace ringside::test::chaos
