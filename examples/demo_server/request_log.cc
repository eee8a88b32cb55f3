#include "examples/demo_server/request_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace ringside::demo {

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Result<UniqueFd> RequestLog::open(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return Error{Code::kSystem, errno, "the request log cannot be opened"};
  return file;
}

void RequestLog::record(const std::string& body) {
  if (!file_) return;
  const std::lock_guard lock(mutex_);
  (void)write_all(file_.get(), body + '\n');
}

}  // namespace ringside::demo
