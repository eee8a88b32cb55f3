#include "base/epoch_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

namespace ringside {
namespace {

using Counter = std::atomic<std::uint64_t>;
static_assert(Counter::is_always_lock_free, "the counter is shared between processes");
static_assert(sizeof(Counter) == 8, "the page's layout says a uint64");

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

Status check_page(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || info.st_size != kEpochPageBytes || ::fcntl(fd, F_GET_SEALS) != kSeals) {
    return Error{Code::kPeerLied, 0, "what came as the epoch page is none"};
  }
  return {};
}

}  // namespace

Result<EpochPage> EpochPage::create(std::uint64_t first) {
  UniqueFd fd(::memfd_create("ringside-epoch", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), kEpochPageBytes) != 0 || ::fallocate(fd.get(), 0, 0, kEpochPageBytes) != 0) {
    return Error{Code::kSystem, errno, "the epoch page cannot be made"};
  }
  void* page = ::mmap(nullptr, kEpochPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (page == MAP_FAILED) return Error{Code::kSystem, errno, "the epoch page cannot be mapped"};
  EpochPage epoch(std::move(fd), page, first);
  if (::fcntl(epoch.fd(), F_ADD_SEALS, kSeals) != 0) {
    return Error{Code::kSystem, errno, "the epoch page cannot be sealed"};
  }
  return epoch;
}

EpochPage::EpochPage(UniqueFd fd, void* page, std::uint64_t first)
    : fd_(std::move(fd)), counter_(new (page) Counter(first)) {}

EpochPage::EpochPage(EpochPage&& other) noexcept
    : fd_(std::move(other.fd_)), counter_(std::exchange(other.counter_, nullptr)) {}

EpochPage::~EpochPage() {
  if (counter_ != nullptr) ::munmap(counter_, kEpochPageBytes);
}

// Release: a worker that reads the new value (acquire, in its session cache) sees what was written to the store before
// the worker that asked sent its message.
void EpochPage::advance() { counter_->fetch_add(1, std::memory_order_release); }

Result<EpochReader> EpochReader::map(int fd) {
  RS_TRY_STATUS(check_page(fd));
  void* page = ::mmap(nullptr, kEpochPageBytes, PROT_READ, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return Error{Code::kSystem, errno, "the epoch page cannot be mapped"};
  return EpochReader(static_cast<const Counter*>(page));
}

Status EpochReader::follow(int fd) const {
  RS_TRY_STATUS(check_page(fd));
  // MAP_FIXED puts the new page where the old one was in one step: no reader finds nothing there.
  void* at = const_cast<Counter*>(counter_);
  if (::mmap(at, kEpochPageBytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    return Error{Code::kSystem, errno, "the epoch page cannot be mapped"};
  }
  return {};
}

EpochReader::EpochReader(EpochReader&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}

EpochReader::~EpochReader() {
  if (counter_ != nullptr) ::munmap(const_cast<Counter*>(counter_), kEpochPageBytes);
}

}  // namespace ringside
