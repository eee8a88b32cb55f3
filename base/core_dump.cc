#include "base/core_dump.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/unique_fd.h"

namespace ringside {

Status choose_core_dump(CoreDump what) {
  // Bits of core(5): 0 and 1 private and shared memory, 4 the first page of mapped programs, 5 private huge pages.
  const std::string_view bits = what == CoreDump::kFull ? "0x33" : "0x10";
  const UniqueFd file(::open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), bits.data(), bits.size()) != static_cast<ssize_t>(bits.size())) {
    return Error{Code::kSystem, errno, "what core dumps hold cannot be chosen"};
  }
  return {};
}

}  // namespace ringside
