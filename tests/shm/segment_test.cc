#include "shm/segment.h"

#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <sstream>

#include "rings.h"

namespace ringside::shm {
namespace {

using test::duplicate;
using testing::HasSubstr;

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr std::uint64_t kBytes = kMinSegmentBytes;

/// What a careless or hostile client might send instead of a segment.
struct MakeMemfd {
  std::uint64_t bytes = kBytes;
  bool allocate = true;
  int seals = kSeals;
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

  [[nodiscard]] UniqueFd operator()() const {
    UniqueFd fd(::memfd_create("test", flags));
    if (!fd) return fd;
    EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
    EXPECT_TRUE(!allocate || ::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) == 0);
    EXPECT_TRUE(seals == 0 || ::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
    return fd;
  }
};

std::string refusal_of(UniqueFd fd) {
  std::string_view reason;
  const auto adopted = Segment::adopt(std::move(fd), reason);
  if (adopted.ok()) return "adopted";
  EXPECT_EQ(adopted.error().code, Code::kPeerLied);
  return std::string(reason);
}

/// The line of /proc/self/maps for the mapping that starts at `address`.
std::string maps_line(const void* address) {
  std::ostringstream start;
  start << std::hex << reinterpret_cast<std::uintptr_t>(address) << '-';
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.rfind(start.str(), 0) == 0) return line;
  }
  return {};
}

TEST(Segment, what_its_writer_writes_its_peer_reads) {
  const auto ours = Segment::create(kBytes).value();
  std::string_view reason;
  const auto theirs = Segment::adopt(duplicate(ours.fd()), reason).value();
  EXPECT_EQ(theirs.size(), kBytes);
  EXPECT_EQ(theirs.fd(), -1);
  ours.data()[kBytes - 1] = std::byte{42};
  EXPECT_EQ(theirs.data()[kBytes - 1], std::byte{42});
}

TEST(Segment, is_mapped_to_read_only_by_the_peer_as_proc_shows) {
  const auto ours = Segment::create(kBytes).value();
  std::string_view reason;
  const auto theirs = Segment::adopt(duplicate(ours.fd()), reason).value();
  EXPECT_THAT(maps_line(theirs.data()), HasSubstr(" r--s "));
  EXPECT_THAT(maps_line(ours.data()), HasSubstr(" rw-s "));
}

TEST(Segment, nobody_who_receives_it_can_write_shrink_or_grow_it) {
  const auto ours = Segment::create(kBytes).value();
  const UniqueFd fd = duplicate(ours.fd());
  EXPECT_EQ(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::pwrite(fd.get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(2 * kBytes)), -1);
  EXPECT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  std::string_view reason;
  const auto theirs = Segment::adopt(duplicate(ours.fd()), reason).value();
  EXPECT_EQ(::mprotect(theirs.data(), kBytes, PROT_READ | PROT_WRITE), -1);
}

TEST(Segment, its_descriptor_is_not_inherited_across_exec) {
  const auto ours = Segment::create(kBytes).value();
  EXPECT_NE(::fcntl(ours.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Segment, is_unmapped_when_it_goes_away) {
  const void* address = nullptr;
  {
    auto first = Segment::create(kBytes).value();
    const auto second = std::move(first);
    address = second.data();
    EXPECT_THAT(maps_line(address), HasSubstr("memfd:ringside"));
  }
  EXPECT_EQ(maps_line(address), "");
}

TEST(Segment, a_size_outside_the_limits_is_not_made) {
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, kMinSegmentBytes - 4096, kMinSegmentBytes + 1, kMaxSegmentBytes + 4096, ~std::uint64_t{0}}) {
    EXPECT_EQ(Segment::create(bytes).error().code, Code::kInvalid) << bytes;
  }
  EXPECT_TRUE(Segment::create(kMaxSegmentBytes).ok());
}

TEST(Adopt, takes_a_segment_made_by_the_book_by_anybody) { EXPECT_EQ(refusal_of(MakeMemfd{}()), "adopted"); }

TEST(Adopt, takes_the_seal_that_kernels_add_by_themselves) {
  constexpr unsigned kNoExecSeal = 8;
  UniqueFd fd = MakeMemfd{.flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal}();
  EXPECT_EQ(fd ? refusal_of(std::move(fd)) : "adopted", "adopted");  // kernels before 6.3 have no such seal
}

TEST(Adopt, refuses_missing_seals) {
  EXPECT_EQ(refusal_of(MakeMemfd{.seals = 0}()), "wrong_seals");
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL}) {
    EXPECT_EQ(refusal_of(MakeMemfd{.seals = kSeals & ~missing}()), "wrong_seals") << missing;
  }
  EXPECT_EQ(refusal_of(MakeMemfd{.seals = 0, .flags = MFD_CLOEXEC}()), "wrong_seals");
}

TEST(Adopt, refuses_seals_too_many) {
  EXPECT_EQ(refusal_of(MakeMemfd{.seals = kSeals | F_SEAL_WRITE}()), "wrong_seals");
}

TEST(Adopt, refuses_memory_that_is_not_there) { EXPECT_EQ(refusal_of(MakeMemfd{.allocate = false}()), "sparse"); }

TEST(Adopt, refuses_memory_with_a_hole) {
  const UniqueFd fd = MakeMemfd{.seals = 0}();
  ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096), 0);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, kSeals), 0);
  EXPECT_EQ(refusal_of(duplicate(fd.get())), "sparse");
}

TEST(Adopt, refuses_sizes_outside_the_limits) {
  EXPECT_EQ(refusal_of(MakeMemfd{.bytes = kMinSegmentBytes - 4096}()), "wrong_size");
  EXPECT_EQ(refusal_of(MakeMemfd{.bytes = kMinSegmentBytes + 1}()), "wrong_size");
  EXPECT_EQ(refusal_of(MakeMemfd{.bytes = kMaxSegmentBytes + 4096}()), "wrong_size");
  EXPECT_EQ(refusal_of(MakeMemfd{.bytes = 0, .allocate = false}()), "wrong_size");
}

TEST(Adopt, refuses_huge_pages) {
  const UniqueFd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (!fd) {
    // A kernel without hugetlbfs makes none, and so nobody can send one.
    EXPECT_TRUE(errno == ENODEV || errno == ENOSYS || errno == EINVAL || errno == ENOMEM) << errno;
    return;
  }
  EXPECT_EQ(refusal_of(duplicate(fd.get())), "hugetlb");
}

TEST(Adopt, refuses_what_is_no_memfd) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd writing(ends[1]);
  EXPECT_EQ(refusal_of(UniqueFd(ends[0])), "not_a_memfd");
  EXPECT_EQ(refusal_of(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))), "not_a_memfd");
  EXPECT_EQ(refusal_of(UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC))), "not_a_memfd");
  EXPECT_EQ(refusal_of(UniqueFd(::open("/", O_PATH | O_CLOEXEC))), "not_a_memfd");
  EXPECT_EQ(refusal_of(UniqueFd(::eventfd(0, EFD_CLOEXEC))), "not_a_memfd");
  EXPECT_EQ(refusal_of(UniqueFd()), "not_a_memfd");
}

TEST(Adopt, refuses_an_ordinary_file_of_a_memory_file_system) {
  UniqueFd fd(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd.valid()) << "needs a tmpfs at /dev/shm: " << std::strerror(errno);
  ASSERT_EQ(::ftruncate(fd.get(), kBytes), 0);
  ASSERT_EQ(::fallocate(fd.get(), 0, 0, kBytes), 0);
  EXPECT_EQ(refusal_of(std::move(fd)), "wrong_seals");
}

TEST(Adopt, refuses_a_descriptor_that_cannot_be_read) {
  const UniqueFd fd = MakeMemfd{}();
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd write_only(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(write_only.valid());
  EXPECT_EQ(refusal_of(std::move(write_only)), "not_readable");
}

std::string refusal_with(const std::function<void(Header&)>& spoil) {
  const auto segment = Segment::create(kBytes).value();
  auto& header = *reinterpret_cast<Header*>(segment.data());
  header = make_header(Side::kClient, kBytes, 0, 0);
  spoil(header);
  std::string_view reason;
  const auto worker = WorkerEnd::attach(duplicate(segment.fd()), test::worker_options(), reason);
  if (worker.ok()) return "attached";
  EXPECT_EQ(worker.error().code, Code::kPeerLied);
  return std::string(reason);
}

TEST(Attach, refuses_a_header_that_is_not_as_agreed) {
  EXPECT_EQ(refusal_with([](Header&) {}), "attached");
  EXPECT_EQ(refusal_with([](Header& header) { header.magic = 0; }), "bad_magic");
  EXPECT_EQ(refusal_with([](Header& header) { header.version = kVersion + 1; }), "bad_version");
  EXPECT_EQ(refusal_with([](Header& header) { header.side = Side::kWorker; }), "bad_header");
  EXPECT_EQ(refusal_with([](Header& header) { header.segment_bytes = 2 * kBytes; }), "bad_header");
  EXPECT_EQ(refusal_with([](Header& header) { header.pool_offset = 0; }), "bad_header");
  EXPECT_EQ(refusal_with([](Header& header) { ++header.blocks; }), "bad_header");
  EXPECT_EQ(refusal_with([](Header& header) { header.slots = 2 * kSlots; }), "bad_header");
  EXPECT_EQ(refusal_with([](Header& header) { header.generation = 1; }), "bad_header");
}

TEST(Attach, refuses_what_is_no_segment) {
  std::string_view reason;
  EXPECT_EQ(WorkerEnd::attach(UniqueFd(), test::worker_options(), reason).error().code, Code::kPeerLied);
  EXPECT_EQ(reason, "not_a_memfd");
}

TEST(Attach, counts_the_memory_of_both_segments) {
  const test::Ring ring(kMinSegmentBytes, 2 * kMinSegmentBytes);
  EXPECT_EQ(ring.worker->bytes(), 3 * kMinSegmentBytes);
}

TEST(Join, refuses_what_is_not_the_workers_segment) {
  const auto join = [](UniqueFd segment, UniqueFd doorbell, std::uint32_t generation) {
    const auto client = ClientEnd::create(kBytes).value();
    const Status joined = client->join(std::move(segment), std::move(doorbell), {test::kRing, generation});
    if (joined.ok()) return std::string("joined");
    EXPECT_EQ(joined.error().code, Code::kPeerLied);
    return std::string(joined.error().message);
  };
  const auto segment = Segment::create(kBytes).value();
  auto& header = *reinterpret_cast<Header*>(segment.data());
  header = make_header(Side::kWorker, kBytes, 3, 0);
  const auto doorbell = [] { return UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); };
  EXPECT_EQ(join(duplicate(segment.fd()), doorbell(), 3), "joined");
  EXPECT_EQ(join(duplicate(segment.fd()), doorbell(), 4), "bad_header");
  EXPECT_EQ(join(MakeMemfd{.seals = 0}(), doorbell(), 3), "wrong_seals");
  EXPECT_EQ(join(duplicate(segment.fd()), UniqueFd(), 3), "bad_doorbell");
  EXPECT_EQ(join(duplicate(segment.fd()), UniqueFd(::eventfd(0, EFD_CLOEXEC)), 3), "bad_doorbell");
  EXPECT_EQ(join(duplicate(segment.fd()), UniqueFd(::open("/dev/null", O_RDWR | O_NONBLOCK)), 3), "bad_doorbell");
  header.side = Side::kClient;
  EXPECT_EQ(join(duplicate(segment.fd()), doorbell(), 3), "bad_header");
}

}  // namespace
}  // namespace ringside::shm
