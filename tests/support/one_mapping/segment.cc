// In place of shm/segment.cc: a Segment whose adopt() hands out its maker's own mapping, not a second one. So a thread
// sanitizer sees both ends of a ring at the same addresses (across two mappings of one memfd it is blind), an address
// sanitizer guards the segment's edges, and a fuzz target makes one in microseconds. Nothing is checked here: whether a
// descriptor is a sealed memfd is what the true one's tests are for.

#include "shm/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "shm/layout.h"

#if defined(__SANITIZE_ADDRESS__)
#define RINGSIDE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RINGSIDE_ASAN 1
#endif
#endif
#ifdef RINGSIDE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) (static_cast<void>(address), static_cast<void>(size))
#endif

namespace ringside::shm {
namespace {

/// What every segment has before its pool; the pool's bytes are whatever was there.
constexpr std::size_t kControlBytes = std::max(sizeof(RequestSegment), sizeof(ResponseSegment));

/// Some memory, and a descriptor that stands for it.
struct Memory {
  explicit Memory(std::size_t size)
      : bytes(size),
        fd(::memfd_create("one_mapping", MFD_CLOEXEC)),
        address(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, size))) {
    RS_CHECK(fd.valid() && address != nullptr, "a test has memory for a segment");
    struct stat info {};
    RS_CHECK(::fstat(fd.get(), &info) == 0, "a memfd has an inode");
    inode = info.st_ino;
  }

  std::size_t bytes;
  UniqueFd fd;
  std::byte* address;
  ino_t inode = 0;
};

/// Those in use, by inode, and those that may be used again. They live as long as the process.
class Memories {
 public:
  std::shared_ptr<Memory> make(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto& spare = spare_[bytes];
    Memory* memory = nullptr;
    if (spare.empty()) {
      memory = new Memory(bytes);
    } else {
      memory = spare.back();
      spare.pop_back();
    }
    ASAN_UNPOISON_MEMORY_REGION(memory->address, bytes);
    std::memset(memory->address, 0, kControlBytes);
    std::shared_ptr<Memory> shared(memory, [this](Memory* unused) { keep(unused); });
    used_[memory->inode] = shared;
    return shared;
  }
  std::shared_ptr<Memory> find(int fd) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return nullptr;
    const std::lock_guard lock(mutex_);
    const auto at = used_.find(info.st_ino);
    return at == used_.end() ? nullptr : at->second.lock();
  }

 private:
  void keep(Memory* unused) {
    const std::lock_guard lock(mutex_);
    used_.erase(unused->inode);
    ASAN_POISON_MEMORY_REGION(unused->address, unused->bytes);
    spare_[unused->bytes].push_back(unused);
  }

  std::mutex mutex_;
  std::map<ino_t, std::weak_ptr<Memory>> used_;
  std::map<std::size_t, std::vector<Memory*>> spare_;
};

Memories& memories() {
  static auto* const all = new Memories;
  return *all;
}

}  // namespace

struct Segment::Mapping {
  std::shared_ptr<Memory> memory;
  bool ours;
};

Segment::Segment(std::unique_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}
Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&&) noexcept = default;
Segment::~Segment() = default;

Result<Segment> Segment::create(std::uint64_t bytes) {
  if (bytes < kMinSegmentBytes || bytes > kMaxSegmentBytes || bytes % kBlockBytes != 0) {
    return Error{Code::kInvalid, 0, "a segment has 1 to 8 MiB, in whole blocks of 4 KiB"};
  }
  return Segment(std::make_unique<Mapping>(Mapping{memories().make(bytes), true}));
}

Result<Segment> Segment::adopt(UniqueFd fd, std::string_view& reason) {
  reason = {};
  auto memory = memories().find(fd.get());
  if (memory == nullptr) {
    reason = "not_a_memfd";
    return Error{Code::kPeerLied, 0, "the peer's segment is not of this process"};
  }
  return Segment(std::make_unique<Mapping>(Mapping{std::move(memory), false}));
}

std::byte* Segment::data() const { return mapping_->memory->address; }
std::size_t Segment::size() const { return mapping_->memory->bytes; }
int Segment::fd() const { return mapping_->ours ? mapping_->memory->fd.get() : -1; }

}  // namespace ringside::shm
