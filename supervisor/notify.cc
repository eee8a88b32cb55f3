#include "supervisor/notify.h"

#include <systemd/sd-daemon.h>

#include <system_error>
#include <utility>

#include "base/log.h"

namespace ringside::supervisor {

std::string status_line(std::size_t ready, std::size_t wanted, std::uint64_t rings) {
  return std::to_string(ready) + "/" + std::to_string(wanted) + (wanted == 1 ? " worker" : " workers") + " ready, " +
         std::to_string(rings) + (rings == 1 ? " ring" : " rings");
}

Notifier::Notifier(const Clock& clock) : clock_(clock) {
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &usec) > 0) {
    watchdog_interval_ = std::chrono::duration_cast<Duration>(std::chrono::microseconds(usec)) / 2;
  }
}

void Notifier::ready() { tell("READY=1"); }

void Notifier::reloading() {
  // The time lets Type=notify-reload tell this reload from the one before (sd_notify(3)).
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(clock_.now().time_since_epoch());
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
}

void Notifier::stopping() { tell("STOPPING=1"); }

void Notifier::status(std::string_view line) {
  if (status_ == line) return;
  status_ = line;
  tell("STATUS=" + status_);
}

void Notifier::alive() { tell("WATCHDOG=1"); }

void Notifier::tell(const std::string& message) {
  const int sent = sd_notify(/*unset_environment=*/0, message.c_str());
  if (sent < 0 && !std::exchange(failed_, true)) {
    log::warn("the service manager cannot be told anything: {}", std::generic_category().message(-sent));
  }
}

}  // namespace ringside::supervisor
