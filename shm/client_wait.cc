// Waiting for completions: spin a little, announce the sleep, look once more, sleep.

#include <sched.h>

#include <algorithm>
#include <thread>

#include "shm/client_end.h"
#include "shm/client_state.h"
#include "shm/futex.h"
#include "shm/step.h"

namespace ringside::shm {
namespace {

constexpr int kLooksPerClockReading = 64;
constexpr int kQuickWakes = 64;
constexpr auto kSlowWake = std::chrono::microseconds(50);

}  // namespace

bool ClientEnd::State::has_completion() const {
  // Relaxed is enough to look; poll() loads it again with acquire. The head is our own word.
  return theirs->completion_tail.value.load(std::memory_order_relaxed) !=
         ours->completion_head.value.load(std::memory_order_relaxed);
}

ClientEnd::State::Bell ClientEnd::State::current_worker() {
  const std::lock_guard lock(mutex);
  return worker;
}

void ClientEnd::State::spin(SteadyTime until) {
  do {
    for (int look = 0; look < kLooksPerClockReading; ++look) {
      if (has_completion() || wake_asked.load(std::memory_order_relaxed)) return;
      spin_pause();
    }
  } while (std::chrono::steady_clock::now() < until);
}

Status ClientEnd::State::sleep(SteadyTime deadline) {
  Status status;
  while (true) {
    // A fresh odd number for each sleep: the worker rings once for each number that it sees.
    park = (park + 1) | 1U;
    ours->park.value.store(park, std::memory_order_seq_cst);
    step(Step::kClientParked);
    // Sequentially consistent like the store above: the worker stores completion_tail, then loads `park`
    // (WorkerEnd::State::publish); we stored `park`, now load completion_tail. One of us sees the other.
    const std::uint32_t tail = theirs->completion_tail.value.load(std::memory_order_seq_cst);
    if (tail != ours->completion_head.value.load(std::memory_order_relaxed)) break;
    if (wake_asked.exchange(false, std::memory_order_seq_cst)) break;
    if (std::chrono::steady_clock::now() >= deadline) {
      status = Error{Code::kTimeout, 0, "the deadline passed"};
      break;
    }
    futex_wait(theirs->completion_tail.value, tail, deadline);
  }
  ours->park.value.store(++park, std::memory_order_relaxed);
  return status;
}

Status ClientEnd::wait(SteadyTime deadline, Duration spin) {
  State& state = *state_;
  RS_CHECK(state.theirs != nullptr, "join() comes before wait()");
  // Sequentially consistent: pairs with wake(), which stores wake_asked, then loads `waiting`.
  RS_CHECK(!state.waiting.exchange(true, std::memory_order_seq_cst), "one thread at a time waits");
  Status status;
  if (!state.has_completion()) {
    if (!state.looking) state.looking.emplace(spin);
    const Duration look = std::min(spin, state.looking->length());
    if (look > Duration::zero()) state.spin(std::min(deadline, std::chrono::steady_clock::now() + look));
    // Announcing a sleep that is not needed would cost the worker a system call.
    if (state.has_completion()) {
      state.looking->paid();
    } else {
      const SteadyTime asleep = spin > Duration::zero() ? std::chrono::steady_clock::now() : SteadyTime();
      status = state.sleep(deadline);
      if (spin > Duration::zero()) state.looking->slept(std::chrono::steady_clock::now() - asleep);
    }
  }
  state.waiting.store(false, std::memory_order_seq_cst);
  return status;
}

void ClientEnd::wake() {
  State& state = *state_;
  state.wake_asked.store(true, std::memory_order_seq_cst);
  // The word that the other thread sleeps on is the worker's, so we cannot change it, and a wake that comes between its
  // last look and its sleep is lost. We are in no hurry: again, until it has noticed.
  for (int round = 0; state.wake_asked.load(std::memory_order_seq_cst) && state.waiting.load(std::memory_order_seq_cst);
       ++round) {
    // Of the worker that is there by now: another may have been joined since the last look. Held, so that its word
    // stays.
    const auto worker = state.current_worker();
    (void)futex_wake(worker->shared->completion_tail.value);
    if (round < kQuickWakes) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(kSlowWake);
    }
  }
}

}  // namespace ringside::shm
