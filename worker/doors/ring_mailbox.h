#pragma once
// What other threads tell the ring thread. It outlives the thread, since a late answer may still want to report; nobody
// reads it then. Thread-safe.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::worker {

/// A connection accepted at ring.sock, before its handshake.
struct Newcomer {
  UniqueFd connection;
  pid_t pid = 0;
  uid_t uid = 0;
};

class RingMailbox {
 public:
  struct Mail {
    std::vector<Newcomer> newcomers;
    std::vector<std::uint64_t> look_at;  ///< attachments (their serial numbers) that were lied to, or are idle
    std::function<void()> drained;       ///< set once: a drain was asked for
    std::vector<std::function<void()>> run;
    bool stop = false;
  };

  /// Makes the eventfd that wakes the thread.
  Status open();
  [[nodiscard]] int fd() const { return wake_.get(); }

  void post(Newcomer newcomer);
  void look_at(std::uint64_t serial);
  void drain(std::function<void()> drained);
  /// Runs on the ring thread; dropped after a stop.
  void run(std::function<void()> what);
  void stop();
  /// The ring thread's: takes everything and clears the eventfd. After a stop the box takes no newcomer.
  Mail collect();

 private:
  void wake();

  UniqueFd wake_;
  std::mutex mutex_;
  bool stopped_ = false;
  Mail mail_;
};

}  // namespace ringside::worker
