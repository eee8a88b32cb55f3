#pragma once
// What the service manager is told, by sd_notify(3): ready, reloading, stopping, a line that a person reads in
// `systemctl status`, and signs of life for its watchdog. Without NOTIFY_SOCKET nothing happens. The loop's thread
// only: the signs of life must come from the loop that does the work, or they prove nothing.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace ringside::supervisor {

/// "3/4 workers ready, 12 rings".
[[nodiscard]] std::string status_line(std::size_t ready, std::size_t wanted, std::uint64_t rings);

class Notifier {
 public:
  /// Reads WATCHDOG_USEC. `clock` is CLOCK_MONOTONIC's, and outlives the notifier.
  explicit Notifier(const Clock& clock);

  /// Calls are served. Again after reloading(), when the new configuration is in force or was refused.
  void ready();
  /// A reload begins.
  void reloading();
  /// The end begins.
  void stopping();
  /// Sent only when it is not the last one.
  void status(std::string_view line);

  /// How often alive() is due: half the time after which the service manager ends a service that does not call.
  /// Nothing: it does not ask for signs of life.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const { return watchdog_interval_; }
  void alive();

 private:
  void tell(const std::string& message);

  const Clock& clock_;
  std::optional<Duration> watchdog_interval_;
  std::string status_;
  bool failed_ = false;  ///< and logged
};

}  // namespace ringside::supervisor
