#include "client/cpp/ring_calls.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "client/cpp/transport.h"
#include "shm/layout.h"

namespace ringside {
namespace {

// With these a call ends whose worker is gone, where the segment does not hold enough to publish it again.
constexpr Error kBrokeOff{Code::kUnavailable, 0, "the worker is gone, and the stream with it"};
constexpr Error kTooManyDeaths{Code::kSystem, 0, "worker after worker died while it had this call"};

SteadyTime now() { return std::chrono::steady_clock::now(); }

}  // namespace

RingCalls::RingCalls(shm::ClientEnd& end, Duration spin, std::size_t max_answer_bytes)
    : end_(end), spin_(spin), max_answer_bytes_(max_answer_bytes), by_slot_(shm::kSlots) {}

RingCalls::~RingCalls() { close(); }

RingCalls::Ended RingCalls::call(shm::ClientEnd::Claim claim, std::string_view rest, SteadyTime deadline,
                                 bool& published) {
  Entry entry(claim.slot(), claim.sequence(), rest, deadline);
  published = false;
  Lock lock(mutex_);
  if (over_) return {*over_, over_by_};
  if (leaving_) return {kNeverTaken, Loss::kNeverTaken};
  by_slot_.at(entry.slot) = &entry;
  ++inside_;
  lock.unlock();
  published = true;
  end_.publish(std::move(claim), deadline);
  lock.lock();
  await(lock, entry);
  const bool gave_up = !entry.outcome;
  if (gave_up) by_slot_.at(entry.slot) = nullptr;
  if (leaving_) tell_left();
  if (!led_) pass_lead();
  --inside_;
  if (closing_) left_.notify_all();
  if (!gave_up) return std::move(*entry.outcome);
  // Under the lock: nobody takes the ring down before the worker has been told.
  end_.cancel(entry.slot, entry.sequence);
  return {kTooLate};
}

/// Until `entry` has its outcome or its deadline has passed.
void RingCalls::await(Lock& lock, Entry& entry) {
  while (!entry.outcome && now() < entry.deadline) {
    if (!led_ && !suspended_) {
      led_ = true;
      lead(lock, &entry, entry.deadline);
      end_lead();
      continue;
    }
    followers_.push_back(&entry);
    entry.wanted.wait_until(lock, entry.deadline);
    std::erase(followers_, &entry);
  }
}

/// Polls the ring and hands out what it finds, until `mine` (if any) is answered, `until` has passed, the ring is over,
/// or (the reaper) there is something else to do.
void RingCalls::lead(Lock& lock, const Entry* mine, SteadyTime until) {
  constexpr int kInOneGo = 64;  // streams may have no end
  for (int taken = 0;; ++taken) {
    const bool found = take_one();
    if (over_ || suspended_ || (mine != nullptr && mine->outcome)) return;
    if (mine == nullptr && taken >= kInOneGo && reaper_must_act()) return;
    if (!found) {
      if (mine == nullptr && reaper_must_act()) return;
      lock.unlock();
      const Status waited = end_.wait(until, spin_);
      lock.lock();
      if (!waited.ok() && waited.error().code != Code::kTimeout) end_locked(waited.error());
      if (suspended_) return;
    }
    if (now() >= until) return;
  }
}

/// Hands out the next completion, if there is one. With the lock, so that none is in the hands of a thread while gone()
/// looks for the last ones.
bool RingCalls::take_one() {
  auto taken = end_.poll();
  if (!taken.ok()) {
    if (!over_) log::warn("the worker broke the ring's protocol reason={}", taken.error().message);
    end_locked(kRingLied);
  }
  if (!taken.ok() || !taken->has_value()) return false;
  Entry* const entry = by_slot_.at((*taken)->slot);
  if (!(*taken)->more && !(*taken)->send_more) {
    ended_.fetch_add(1, std::memory_order_release);
    turns_.call_first();
  }
  if (entry == nullptr || entry->sequence != (*taken)->sequence) return true;  // its caller has given up
  if ((*taken)->send_more) {
    send_next_part(*entry);
    return true;
  }
  Answered& answer = entry->answer;
  answer.inline_answer = (*taken)->inline_answer;
  if (answer.inline_answer) answer.to_fetch = hold_for_fetch();
  if (entry->piece && !answer.inline_answer) {
    const bool more = (*taken)->more;
    entry->begun = true;
    if (!entry->piece(**taken)) {
      end_locked(kRingLied);
      return false;
    }
    if (!more) settle(*entry, {std::move(answer)});
    return true;
  }
  if ((*taken)->more || answer.collected) {
    const shm::Loan& part = (*taken)->answer;
    const bool header_again = answer.collected && !part.header().empty();
    if (header_again || part.body().size() > max_answer_bytes_ - answer.body.size()) {
      end_locked(kRingLied);
      return false;
    }
    answer.collected = true;
    answer.header.append((*taken)->answer.header());
    answer.body.append((*taken)->answer.body());
  } else {
    answer.loan = std::move((*taken)->answer);
  }
  if (!(*taken)->more) settle(*entry, {std::move(answer)});
  return true;
}

/// When the reaper has something to expire.
SteadyTime RingCalls::next_deadline() const {
  const SteadyTime next = async_.empty() ? SteadyTime::max() : async_.begin()->first.first;
  return std::min({next, turns_.next_deadline(), late_.next_deadline()});
}

void RingCalls::start_reaper() {
  if (!reaper_.joinable()) reaper_ = std::thread([this] { reap(); });
}

void RingCalls::send_next_part(Entry& entry) {
  const std::span<char> part = end_.next_part(entry.slot, entry.sequence);
  if (part.empty()) return;
  const std::string_view bytes = entry.rest.substr(0, part.size());
  RS_CHECK(bytes.size() == part.size(), "the worker asks for no more than there is");
  std::copy(bytes.begin(), bytes.end(), part.begin());
  entry.rest.remove_prefix(part.size());
  end_.publish_part(entry.slot, entry.sequence);
}

void RingCalls::end_lead() {
  led_ = false;
  if (suspended_) unled_.notify_all();
}

void RingCalls::suspend(int most_deaths) {
  Lock lock(mutex_);
  suspended_ = true;
  if (led_) end_.wake();
  unled_.wait(lock, [this] { return !led_; });
  while (!over_ && take_one()) {
  }
  if (over_) return;
  // Nobody can take up a stream in the middle.
  for (Entry* entry : by_slot_) {
    if (entry == nullptr || !entry->begun) continue;
    end_.cancel(entry->slot, entry->sequence);
    settle(*entry, {kBrokeOff, Loss::kBrokeOff});
  }
  for (const auto& call : end_.detach(most_deaths)) {
    Entry* const entry = by_slot_.at(call.slot);
    if (entry == nullptr || entry->sequence != call.sequence) continue;
    settle(*entry, call.too_often ? Ended{kTooManyDeaths, Loss::kTooManyDeaths}
                   : call.taken   ? Ended{kMayHaveRun, Loss::kMayHaveRun}
                                  : Ended{kNeverTaken, Loss::kNeverTaken});
  }
  // What came of an answer in parts came from a worker that is gone; the next one answers from the start.
  for (Entry* entry : by_slot_) {
    if (entry != nullptr) entry->answer = {};
  }
}

void RingCalls::resume() {
  const std::lock_guard lock(mutex_);
  suspended_ = false;
  // Calls that were given up meanwhile have left room, and no answer of theirs will tell.
  ended_.fetch_add(1, std::memory_order_release);
  turns_.call_all();
  pass_lead();
}

void RingCalls::pass_lead() {
  if (!followers_.empty()) {
    followers_.front()->wanted.notify_one();
  } else if (!async_.empty()) {
    reaper_wanted_.notify_one();
  }
}

void RingCalls::settle(Entry& entry, Ended outcome) {
  by_slot_.at(entry.slot) = nullptr;
  entry.outcome.emplace(std::move(outcome));
  if (leaving_) tell_left();
  if (!entry.done) {
    entry.wanted.notify_one();
    return;
  }
  auto node = async_.extract({entry.deadline, entry.sequence});
  RS_CHECK(!node.empty(), "an asynchronous call under way is listed");
  finished_.push_back(std::move(node.mapped()));
  reaper_wanted_.notify_one();
}

bool RingCalls::start(shm::ClientEnd::Claim claim, std::string_view rest, SteadyTime deadline, Done done, Piece piece) {
  auto entry = std::make_shared<Entry>(claim.slot(), claim.sequence(), rest, deadline);
  entry->done = std::move(done);
  entry->piece = std::move(piece);
  const std::lock_guard lock(mutex_);
  if (closed()) return false;
  start_reaper();
  by_slot_.at(entry->slot) = entry.get();
  async_.emplace(AsyncKey{deadline, entry->sequence}, entry);
  const bool earliest = async_.begin()->second == entry;
  // Under the lock, so that a close() comes before or after.
  end_.publish(std::move(claim), deadline);
  reaper_wanted_.notify_one();
  if (earliest && async_.size() > 1) nudge_reaper();
  return true;
}

void RingCalls::cancel(std::uint32_t slot, std::uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = by_slot_.at(slot);
  if (entry == nullptr || entry->sequence != sequence) return;
  settle(*entry, {kGaveUp});
  end_.cancel(slot, sequence);
  nudge_reaper();
}

/// Makes a reaper that leads look around.
void RingCalls::nudge_reaper() {
  if (!reaper_leads_) return;
  nudged_ = true;
  end_.wake();
}

void RingCalls::end(Error error) {
  const std::lock_guard lock(mutex_);
  end_locked(error);
  if (led_) end_.wake();
}

void RingCalls::gone(Error error) {
  const std::lock_guard lock(mutex_);
  while (!over_ && take_one()) {
  }
  end_locked(error, Loss::kAskTheJournal);
  if (led_) end_.wake();
}

void RingCalls::end_locked(Error error, Loss loss) {
  if (over_) return;
  over_ = error;
  over_by_ = loss;
  is_over_.store(true, std::memory_order_relaxed);
  for (Entry* entry : by_slot_) {
    if (entry == nullptr) continue;
    const bool broke_off = entry->begun && loss == Loss::kAskTheJournal;
    settle(*entry, {error, broke_off ? Loss::kBrokeOff : loss});
  }
  turns_.call_all();
  late_.call_all();
}

void RingCalls::close() {
  end(kGaveUp);
  Lock lock(mutex_);
  closing_ = true;
  left_.wait(lock, [this] { return inside_ == 0; });
  reaper_wanted_.notify_one();
  std::thread reaper = std::move(reaper_);
  lock.unlock();
  if (reaper.joinable()) reaper.join();
}

void RingCalls::reap() {
  Lock lock(mutex_);
  while (true) {
    expire(lock);
    if (!finished_.empty() || !due_.empty()) {
      run_finished(lock);
      continue;
    }
    if (closing_) return;
    const SteadyTime until = next_deadline();
    if (async_.empty()) {
      if (until == SteadyTime::max()) {
        reaper_wanted_.wait(lock);
      } else {
        reaper_wanted_.wait_until(lock, until);
      }
      continue;
    }
    if (led_ || suspended_ || !followers_.empty()) {
      reaper_wanted_.wait_until(lock, until);
      continue;
    }
    led_ = reaper_leads_ = true;
    lead(lock, nullptr, until);
    reaper_leads_ = nudged_ = false;
    end_lead();
    pass_lead();
  }
}

bool RingCalls::reaper_must_act() const { return nudged_ || closing_ || !finished_.empty() || !due_.empty(); }

void RingCalls::run_finished(Lock& lock) {
  auto finished = std::exchange(finished_, {});
  auto due = std::exchange(due_, {});
  lock.unlock();
  for (const auto& entry : finished) entry->done(std::move(*entry->outcome));
  finished.clear();
  for (const auto& turn : due) turn();
  due.clear();
  lock.lock();
}

void RingCalls::expire(Lock& lock) {
  RS_CHECK(lock.owns_lock(), "the calls are looked at under their lock");
  const SteadyTime time = now();
  turns_.expire(time);
  late_.expire(time);
  while (!async_.empty() && async_.begin()->first.first <= time) {
    const std::shared_ptr<Entry> entry = async_.begin()->second;
    settle(*entry, {kTooLate});
    end_.cancel(entry->slot, entry->sequence);
  }
}

}  // namespace ringside
