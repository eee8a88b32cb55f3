#pragma once
// The runtime folder, held by one supervisor at a time: made if it is missing (0750), refused if others can write it,
// locked by flock on `ringsided.lock`, whose text is the holder's pid. The lock goes with the process, however that
// ends; the file stays, since removing it would let two supervisors lock two files of one name.

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringside::supervisor {

/// The lock is held as long as this lives. Move only.
class RuntimeFolder {
 public:
  /// kDenied: others can write it, or it cannot be made. kUnavailable: another supervisor holds it. What to do about it
  /// stands in the log.
  static Result<RuntimeFolder> hold(const std::string& path);

  /// The folder that the program before ours in this process holds by `lock`.
  static RuntimeFolder inherit(std::string path, UniqueFd lock) { return {std::move(path), std::move(lock)}; }

  [[nodiscard]] int lock_fd() const { return lock_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string socket(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  RuntimeFolder(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;
};

}  // namespace ringside::supervisor
