#pragma once
// Records bodies as lines of a file, byte for byte: what a test compares to find out who changed something, or what was
// done.

#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::demo {

class RequestLog {
 public:
  /// Appends to `path`, which is made if missing.
  static Result<UniqueFd> open(const std::string& path);
  /// An invalid descriptor: records nothing.
  explicit RequestLog(UniqueFd file) : file_(std::move(file)) {}

  [[nodiscard]] bool records() const { return static_cast<bool>(file_); }
  /// Any thread.
  void record(const std::string& body);

 private:
  std::mutex mutex_;
  UniqueFd file_;
};

/// Writes all of `bytes` to a blocking descriptor; false when that fails.
bool write_all(int fd, std::string_view bytes);

}  // namespace ringside::demo
