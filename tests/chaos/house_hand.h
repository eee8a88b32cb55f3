#pragma once
// The hand that hurts a house: it deals its blows from a shuffled deck, one after another, while a second thread puts
// the configuration in force again and again.

#include <sys/resource.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "tests/chaos/house_host.h"
#include "tests/chaos/house_troubles.h"

namespace ringside::test::chaos {

class Hand {
 public:
  /// Everything passed by reference outlives the hand.
  Hand(ChaosHouse& house, Troubles& troubles, std::uint64_t seed);

  /// Hurts it until then. No supervisor is killed in the second half, so that one of them lives long enough to show
  /// what it leaks. Lets go of what it holds before it returns.
  void hurt_until(SteadyTime end);
  /// What it did, in one line.
  [[nodiscard]] std::string report() const;

 private:
  enum class Blow {
    kKillWorker,
    kCrashWorker,
    kHoldWorker,
    kStopWorker,
    kKillSupervisor,
    kKillFar,
    kKillNear,
    kStarveWorkerOfDescriptors,
    kStarveSupervisorOfDescriptors,
    kStarveWorkerOfMemory,
    kRefuseWorkerMemory,
  };
  void deal(Blow blow);
  void end_worker(int signal);
  void hold_worker();
  void stop_worker();
  void kill_supervisor();
  void kill_far();
  void kill_near();
  void limit_descriptors(pid_t pid);
  void starve_of_memory();
  void refuse_memory();
  [[nodiscard]] pid_t some_worker();

  ChaosHouse& house_;
  Troubles& troubles_;
  std::mt19937_64 random_;
  std::map<std::string, int> dealt_;
};

/// `ringside reload`, from the constructor to stop(), at most so often in a minute.
class Reloader {
 public:
  static constexpr int kAMinute = 240;

  Reloader(const ChaosHouse& house, Troubles& troubles);
  ~Reloader() { stop(); }
  Reloader(const Reloader&) = delete;
  Reloader& operator=(const Reloader&) = delete;
  void stop();
  [[nodiscard]] int done() const { return done_; }
  [[nodiscard]] int refused() const { return refused_; }

 private:
  void run();

  const ChaosHouse& house_;
  Troubles& troubles_;
  int done_ = 0;  // the thread's until stop()
  int refused_ = 0;
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace ringside::test::chaos
