#include "tests/chaos/house_hand.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <vector>

#include "tests/support/memory_group.h"

namespace ringside::test::chaos {
namespace {

constexpr std::uint64_t kLittle = 4U << 20U;  // on top of what a worker has
constexpr auto kGoneWithin = std::chrono::seconds(30);

UniqueFd watch(pid_t pid) { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

/// True when the process behind the pidfd has ended by then.
bool gone(const UniqueFd& pidfd, std::chrono::milliseconds within) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  return !pidfd || ::poll(&ended, 1, static_cast<int>(within.count())) == 1;
}

void signal(const UniqueFd& pidfd, int number) { ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0); }

/// How long a blow lasts, and how long the hand rests: a time, and no event.
void pause(std::uint64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

/// A limit of another process, lowered while this lives.
class Lowered {
 public:
  Lowered(pid_t pid, __rlimit_resource resource, rlim_t to) : pid_(pid), resource_(resource) {
    held_ = ::prlimit(pid, resource, nullptr, &before_) == 0;
    const rlimit low{std::min(to, before_.rlim_max), before_.rlim_max};
    held_ = held_ && ::prlimit(pid, resource, &low, nullptr) == 0;
  }
  ~Lowered() {
    if (held_) ::prlimit(pid_, resource_, &before_, nullptr);
  }
  Lowered(const Lowered&) = delete;
  Lowered& operator=(const Lowered&) = delete;

 private:
  const pid_t pid_;
  const __rlimit_resource resource_;
  rlimit before_{};
  bool held_ = false;
};

}  // namespace

Hand::Hand(ChaosHouse& house, Troubles& troubles, std::uint64_t seed)
    : house_(house), troubles_(troubles), random_(seed) {}

void Hand::hurt_until(SteadyTime end) {
  std::vector<Blow> deck{Blow::kKillWorker,
                         Blow::kKillWorker,
                         Blow::kKillWorker,
                         Blow::kCrashWorker,
                         Blow::kCrashWorker,
                         Blow::kHoldWorker,
                         Blow::kStopWorker,
                         Blow::kKillSupervisor,
                         Blow::kKillFar,
                         Blow::kKillNear,
                         Blow::kStarveWorkerOfDescriptors,
                         Blow::kStarveSupervisorOfDescriptors,
                         Blow::kStarveWorkerOfMemory,
                         Blow::kRefuseWorkerMemory};
  const SteadyTime half = std::chrono::steady_clock::now() + (end - std::chrono::steady_clock::now()) / 2;
  for (std::size_t next = deck.size(); std::chrono::steady_clock::now() < end; ++next) {
    if (next >= deck.size()) {
      std::shuffle(deck.begin(), deck.end(), random_);
      next = 0;
    }
    const bool late = std::chrono::steady_clock::now() > half;
    if (deck[next] != Blow::kKillSupervisor || !late) deal(deck[next]);
    pause(100 + random_() % 500);
  }
}

void Hand::deal(Blow blow) {
  switch (blow) {
    case Blow::kKillWorker:
      return end_worker(SIGKILL);
    case Blow::kCrashWorker:
      return end_worker(SIGSEGV);
    case Blow::kHoldWorker:
      return hold_worker();
    case Blow::kStopWorker:
      return stop_worker();
    case Blow::kKillSupervisor:
      return kill_supervisor();
    case Blow::kKillFar:
      return kill_far();
    case Blow::kKillNear:
      return kill_near();
    case Blow::kStarveWorkerOfDescriptors:
      ++dealt_["workers without descriptors"];
      return limit_descriptors(some_worker());
    case Blow::kStarveSupervisorOfDescriptors:
      ++dealt_["supervisors without descriptors"];
      return limit_descriptors(house_.pid());
    case Blow::kStarveWorkerOfMemory:
      return starve_of_memory();
    case Blow::kRefuseWorkerMemory:
      return refuse_memory();
  }
}

/// 0: none is ready. A signal to 0 would hit ourselves, so it is never used without a look.
pid_t Hand::some_worker() {
  const auto pids = house_.worker_pids();
  return pids.empty() ? 0 : pids[random_() % pids.size()];
}

void Hand::end_worker(int number) {
  const pid_t worker = some_worker();
  if (worker == 0) return;
  ++dealt_[number == SIGKILL ? "workers killed" : "workers crashed"];
  const std::size_t trouble = troubles_.begin(Trouble::kWorkerDies);
  const UniqueFd pidfd = watch(worker);
  signal(pidfd, number);
  (void)gone(pidfd, kGoneWithin);
  troubles_.end(trouble);
}

void Hand::hold_worker() {
  const pid_t worker = some_worker();
  if (worker == 0) return;
  ++dealt_["workers held up"];
  const std::size_t trouble = troubles_.begin(Trouble::kWorkerStops);
  const UniqueFd pidfd = watch(worker);
  signal(pidfd, SIGSTOP);
  (void)gone(pidfd, std::chrono::milliseconds(400));
  signal(pidfd, SIGCONT);
  troubles_.end(trouble);
}

void Hand::stop_worker() {
  const pid_t worker = some_worker();
  if (worker == 0) return;
  ++dealt_["workers stopped dead"];
  const std::size_t trouble = troubles_.begin(Trouble::kWorkerStops);
  const UniqueFd pidfd = watch(worker);
  signal(pidfd, SIGSTOP);
  if (!gone(pidfd, kGoneWithin)) troubles_.broken("a worker that hangs is not replaced");
  troubles_.end(trouble);
}

void Hand::kill_supervisor() {
  ++dealt_["supervisors killed"];
  const std::size_t trouble = troubles_.begin(Trouble::kSupervisorDies);
  house_.kill_supervisor();
  if (!eventually([this] { return !house_.worker_pids().empty(); }, kGoneWithin)) {
    troubles_.broken("no worker came after the supervisor's death");
  }
  troubles_.end(trouble);
}

void Hand::kill_far() {
  ++dealt_["far killed"];
  const std::size_t trouble = troubles_.begin(Trouble::kFarDies);
  house_.kill_far();
  pause(random_() % 300);
  house_.start_far();
  troubles_.end(trouble);
}

void Hand::kill_near() {
  const auto children = house_.near_pids();
  if (children.empty()) return;
  ++dealt_["near killed"];
  troubles_.moment(Trouble::kNearDies);
  signal(watch(children[random_() % children.size()]), SIGKILL);
}

void Hand::limit_descriptors(pid_t pid) {
  if (pid == 0) return;
  const std::size_t trouble = troubles_.begin(Trouble::kFewDescriptors);
  {
    const Lowered lowered(pid, RLIMIT_NOFILE, descriptors_of(pid) + random_() % 4);
    pause(500);
  }
  troubles_.end(trouble);
}

void Hand::starve_of_memory() {
  const auto group = MemoryGroup::make(kLittle);
  const pid_t worker = some_worker();
  if (!group || worker == 0 || !group->take(worker)) return;
  ++dealt_["workers without memory"];
  const std::size_t trouble = troubles_.begin(Trouble::kLittleMemory);
  const UniqueFd pidfd = watch(worker);
  // Whom neither the kernel nor a reload has ended by then must not stay in the group.
  if (!gone(pidfd, std::chrono::milliseconds(1000))) signal(pidfd, SIGKILL);
  (void)gone(pidfd, kGoneWithin);
  troubles_.end(trouble);
}

void Hand::refuse_memory() {
  const pid_t worker = some_worker();
  if (worker == 0) return;
  ++dealt_["workers refused memory"];
  const std::size_t trouble = troubles_.begin(Trouble::kLittleMemory);
  {
    const Lowered lowered(worker, RLIMIT_AS, kib_of(worker, "VmSize") * 1024 + kLittle);
    (void)gone(watch(worker), std::chrono::milliseconds(700));
  }
  troubles_.end(trouble);
}

std::string Hand::report() const {
  std::string text;
  for (const auto& [what, times] : dealt_) text += (text.empty() ? "" : ", ") + std::to_string(times) + " " + what;
  return text;
}

Reloader::Reloader(const ChaosHouse& house, Troubles& troubles)
    : house_(house), troubles_(troubles), thread_([this] { run(); }) {}

void Reloader::stop() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Reloader::run() {
  const auto pace = std::chrono::milliseconds(60'000 / kAMinute);
  auto next = std::chrono::steady_clock::now();
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (stopping_.wait_until(lock, next, [this] { return over_; })) return;
    }
    next = std::max(next + pace, std::chrono::steady_clock::now());
    const std::size_t trouble = troubles_.begin(Trouble::kReload);
    const SteadyTime from = std::chrono::steady_clock::now();
    std::vector<std::string> command{program("ringside"), "--runtime-dir", house_.dir(), "reload"};
    // Now and then one comes while the one before is still being carried out.
    if ((done_ + refused_) % 3 == 0) command.emplace_back("--no-wait");
    const Finished reload = ringside::test::run(command);
    troubles_.end(trouble);
    if (reload.exit_code == 0) {
      ++done_;
      continue;
    }
    ++refused_;
    const bool excused = troubles_.between({Trouble::kSupervisorDies, Trouble::kFewDescriptors}, from,
                                           std::chrono::steady_clock::now(), Duration(0));
    if (!excused) troubles_.broken("a reload failed: " + reload.out + reload.err);
  }
}

}  // namespace ringside::test::chaos
