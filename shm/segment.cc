#include "shm/segment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>

#include "base/check.h"
#include "shm/layout.h"

namespace ringside::shm {
namespace {

namespace interprocess = boost::interprocess;

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
// A kernel may add this one by itself (vm.memfd_noexec), and it forbids nothing that a ring does.
constexpr int kHarmlessSeals = F_SEAL_EXEC;
constexpr std::uint64_t kStatBlockBytes = 512;  // the unit of st_blocks, whatever the file system

/// What Boost.Interprocess wants of something that it maps.
struct Mappable {
  int fd;
  [[nodiscard]] interprocess::mapping_handle_t get_mapping_handle() const { return {fd, false}; }
};

Error system_error(std::string_view message) { return Error{Code::kSystem, errno, message}; }

Result<interprocess::mapped_region> map(int fd, std::size_t bytes, interprocess::mode_t mode) {
  // fallocate reserves pages, the first write clears them: a writer has that done now rather than on the hot path,
  // where it was most of a first call's time. A reader faults in 16 pages at a time, which costs next to nothing.
  const int options = mode == interprocess::read_write ? MAP_POPULATE : 0;
  try {
    interprocess::mapped_region region(Mappable{fd}, mode, 0, bytes, nullptr, options);
    // Bodies do not belong into core dumps.
    if (::madvise(region.get_address(), bytes, MADV_DONTDUMP) != 0) {
      return system_error("a segment cannot be kept private");
    }
    return region;
  } catch (const interprocess::interprocess_exception& error) {
    return Error{Code::kSystem, error.get_native_error(), "a segment cannot be mapped"};
  }
}

Result<UniqueFd> make_memfd() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create("ringside", kFlags | MFD_NOEXEC_SEAL));
  // Kernels before 6.3 do not know the flag; kernels with vm.memfd_noexec=2 insist on it.
  if (!fd && errno == EINVAL) fd.reset(::memfd_create("ringside", kFlags));
  if (!fd) return system_error("no memory for a segment");
  return fd;
}

// The name of the refusal, or nothing; `bytes` gets the size, which can no longer change once the seals are right.
std::string_view fault_of(int fd, std::uint64_t& bytes) {
  struct statfs system {};
  if (::fstatfs(fd, &system) != 0) return "not_a_memfd";
  if (system.f_type == HUGETLBFS_MAGIC) return "hugetlb";
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (system.f_type != TMPFS_MAGIC || seals < 0) return "not_a_memfd";
  if ((seals & ~kHarmlessSeals) != kSeals) return "wrong_seals";
  struct stat info {};
  if (::fstat(fd, &info) != 0) return "not_a_memfd";
  bytes = static_cast<std::uint64_t>(info.st_size);
  if (bytes < kMinSegmentBytes || bytes > kMaxSegmentBytes || bytes % kBlockBytes != 0) return "wrong_size";
  if (static_cast<std::uint64_t>(info.st_blocks) * kStatBlockBytes < bytes) return "sparse";
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) return "not_readable";
  return {};
}

}  // namespace

struct Segment::Mapping {
  UniqueFd fd;  // of a segment of ours only
  interprocess::mapped_region region;
};

Segment::Segment(std::unique_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}
Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&&) noexcept = default;
Segment::~Segment() = default;

Result<Segment> Segment::create(std::uint64_t bytes) {
  if (bytes < kMinSegmentBytes || bytes > kMaxSegmentBytes || bytes % kBlockBytes != 0) {
    return Error{Code::kInvalid, 0, "a segment has 1 to 8 MiB, in whole blocks of 4 KiB"};
  }
  UniqueFd fd = RS_TRY(make_memfd());
  const auto length = static_cast<off_t>(bytes);
  if (::ftruncate(fd.get(), length) != 0) return system_error("no memory for a segment");
  int allocated = 0;
  do {
    allocated = ::fallocate(fd.get(), 0, 0, length);
  } while (allocated != 0 && errno == EINTR);
  if (allocated != 0) return system_error("no memory for a segment");
  interprocess::mapped_region region = RS_TRY(map(fd.get(), bytes, interprocess::read_write));
  // Last: FUTURE_WRITE spares the mapping that exists and forbids every later one.
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return system_error("a segment cannot be sealed");
  return Segment(std::make_unique<Mapping>(Mapping{std::move(fd), std::move(region)}));
}

Result<Segment> Segment::adopt(UniqueFd fd, std::string_view& reason) {
  std::uint64_t bytes = 0;
  reason = fault_of(fd.get(), bytes);
  if (!reason.empty()) return Error{Code::kPeerLied, 0, "the peer's segment is not a sealed memfd as agreed"};
  interprocess::mapped_region region = RS_TRY(map(fd.get(), bytes, interprocess::read_only));
  return Segment(std::make_unique<Mapping>(Mapping{UniqueFd(), std::move(region)}));
}

std::byte* Segment::data() const { return static_cast<std::byte*>(mapping_->region.get_address()); }
std::size_t Segment::size() const { return mapping_->region.get_size(); }
int Segment::fd() const { return mapping_->fd.get(); }

}  // namespace ringside::shm
