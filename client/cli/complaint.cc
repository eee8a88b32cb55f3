#include "client/cli/complaint.h"

#include <algorithm>

namespace ringside::cli {

std::string complaint(const Error& error, const std::string& place, const std::string& runtime_dir) {
  switch (error.code) {
    case Code::kUnavailable:
      return "nobody answers at " + place + "; is ringsided running? start it with: ringsided --runtime-dir " +
             runtime_dir + ", or name another folder with --runtime-dir";
    case Code::kTimeout:
      return "no answer in time from " + place + "; give it longer with --timeout, or look at: ringside status";
    case Code::kDenied:
      return "may not connect to " + place + "; run as the service's user, or allow yours in ringsided's configuration";
    default:
      return "no answer from " + place + ": " + std::string(error.message) + "; see ringsided's log";
  }
}

Duration seconds(double count) {
  constexpr double kYear = 365.0 * 24 * 3600;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(count, kYear)));
}

}  // namespace ringside::cli
