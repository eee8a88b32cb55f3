#include "supervisor/runtime_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/log.h"
#include "base/unix_socket.h"

namespace ringside::supervisor {
namespace {

constexpr mode_t kFolderMode = 0750;
constexpr mode_t kLockMode = 0640;

std::string reason() { return std::generic_category().message(errno); }

/// Who wrote the lock file; "somebody" when that cannot be read.
std::string holder_of(int lock) {
  std::array<char, 32> text{};
  const ssize_t size = ::pread(lock, text.data(), text.size(), 0);
  std::string pid(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  pid.erase(pid.find_last_not_of(" \n") + 1);
  const bool number = !pid.empty() && pid.find_first_not_of("0123456789") == std::string::npos;
  return number ? "pid " + pid : "a process that has not written its pid";
}

}  // namespace

Result<RuntimeFolder> RuntimeFolder::hold(const std::string& path) {
  if (::mkdir(path.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    const int failed = errno;
    log::error("the runtime folder cannot be made; make it, or choose another --runtime-dir dir={} error={}", path,
               reason());
    return Error{Code::kDenied, failed, "the runtime folder cannot be made"};
  }
  if (const Status private_folder = check_private_directory(path); !private_folder.ok()) {
    log::error("the runtime folder is refused: {} dir={}", private_folder.error().message, path);
    return private_folder.error();
  }
  const std::string file = path + "/ringsided.lock";
  UniqueFd lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kLockMode));
  if (!lock) {
    const int failed = errno;
    log::error(
        "the lock file cannot be opened; run as the folder's owner, or choose another --runtime-dir file={} error={}",
        file, reason());
    return Error{Code::kDenied, failed, "the runtime folder cannot be locked"};
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error{Code::kSystem, errno, "the runtime folder cannot be locked"};
    log::error("another ringsided ({}) holds this folder; stop it, or choose another --runtime-dir dir={}",
               holder_of(lock.get()), path);
    return Error{Code::kUnavailable, EWOULDBLOCK, "another ringsided holds this folder"};
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) {
    return Error{Code::kSystem, errno, "the lock file cannot be written"};
  }
  return RuntimeFolder(path, std::move(lock));
}

}  // namespace ringside::supervisor
