// A worker that runs out of what a ring is made of, and a client that would make it block: the newcomer is refused by
// name, nothing is left behind, and those who are attached are served on.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <memory>
#include <thread>

#include "tests/worker/raw_ring.h"
#include "tests/worker/ring_house.h"

namespace ringside::worker {
namespace {

constexpr std::uint32_t kOddBytes = shm::kMinSegmentBytes + 3 * shm::kBlockBytes;

shm::Segment segment_of(std::uint64_t bytes) {
  auto segment = std::move(shm::Segment::create(bytes)).value();
  *reinterpret_cast<shm::Header*>(segment.data()) = shm::make_header(shm::Side::kClient, bytes, 0, 0);
  return segment;
}

std::string refusal_of(const RingHouse& house, const shm::Segment& segment) {
  const UniqueFd socket = dial(house.dir());
  const auto reply = knock(socket.get(), attach_request(), {segment.fd()});
  if (!reply.refusal().empty()) {
    EXPECT_FALSE(reply.message().empty()) << "and says what to do";
  }
  return reply.refusal();
}

void expect_served(RawRing& ring, std::uint32_t calls) {
  ring.fill(5, calls, header_of("POST", "/_ringside/echo"), 100);
  ring.submit(5);
  EXPECT_TRUE(ring.answered(calls));
}

/// A system call that the kernel refuses to this thread, and to those that it starts, when an argument has that value.
struct Shortage {
  const char* name;
  std::uint32_t call;
  std::uint32_t argument;
  std::uint32_t value;
  std::uint32_t error;
  const char* refusal;
};
void PrintTo(const Shortage& shortage, std::ostream* out) { *out << shortage.name; }

void suffer(const Shortage& shortage) {
  const auto argument = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * shortage.argument);
  std::array program = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, shortage.call, 0, 3),
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, shortage.value, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | shortage.error),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  RS_CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "a thread may give up privileges");
  RS_CHECK(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0, "a thread may be filtered");
}

/// A worker whose threads suffer from it; this one does not.
std::unique_ptr<RingHouse> house_in_want_of(const Shortage& shortage) {
  std::unique_ptr<RingHouse> house;
  std::thread([&] {
    RingDoorOptions options;
    options.segment_bytes = 2 * shm::kMinSegmentBytes;
    suffer(shortage);
    house = std::make_unique<RingHouse>(options);
  }).join();
  return house;
}

class Exhausted : public ::testing::TestWithParam<Shortage> {};

TEST_P(Exhausted, a_newcomer_is_refused_by_name_and_nothing_is_left_behind) {
  const auto house = house_in_want_of(GetParam());
  const auto segment = segment_of(kOddBytes);
  const std::string refusal = GetParam().refusal;
  EXPECT_EQ(refusal_of(*house, segment), refusal);
  const std::size_t descriptors = open_descriptors();
  const std::size_t maps = mapped_segments();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(refusal_of(*house, segment), refusal);
  EXPECT_EQ(house->refusals(refusal), 21U);
  EXPECT_TRUE(becomes_true([&] { return open_descriptors() <= descriptors; }));
  EXPECT_LE(mapped_segments(), maps);
  EXPECT_EQ(house->rings().stats().rings, 0U);
}

constexpr std::uint32_t kResponseBytes = 2 * shm::kMinSegmentBytes;
constexpr std::uint32_t kMemfdFlags = 0xB;  // CLOEXEC, ALLOW_SEALING and NOEXEC_SEAL, as shm/segment.cc asks first
INSTANTIATE_TEST_SUITE_P(
    Of, Exhausted,
    ::testing::Values(Shortage{"memory_for_a_memfd", SYS_memfd_create, 1, kMemfdFlags, ENOMEM, "no_memory"},
                      Shortage{"memory_for_its_size", SYS_ftruncate, 1, kResponseBytes, ENOMEM, "no_memory"},
                      Shortage{"memory_for_its_pages", SYS_fallocate, 3, kResponseBytes, ENOMEM, "no_memory"},
                      Shortage{"room_in_its_file_system", SYS_fallocate, 3, kResponseBytes, ENOSPC, "no_memory"},
                      Shortage{"addresses_for_ours", SYS_mmap, 1, kResponseBytes, ENOMEM, "no_memory"},
                      Shortage{"addresses_for_the_clients", SYS_mmap, 1, kOddBytes, ENOMEM, "no_memory"},
                      Shortage{"descriptors_for_a_memfd", SYS_memfd_create, 1, kMemfdFlags, EMFILE, "no_descriptors"},
                      Shortage{"files_of_the_machine", SYS_memfd_create, 1, kMemfdFlags, ENFILE, "no_descriptors"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(Exhaustion, one_client_s_segment_that_cannot_be_mapped_is_no_other_s_business) {
  const auto house = house_in_want_of({"", SYS_mmap, 1, kOddBytes, ENOMEM, "no_memory"});
  RawRing before(house->dir());
  EXPECT_EQ(refusal_of(*house, segment_of(kOddBytes)), "no_memory");
  expect_served(before, 1);
  RawRing after(house->dir());
  expect_served(after, 1);
}

/// What a full memory cgroup, or a full tmpfs, does to ftruncate and fallocate; as a limit of the whole process.
TEST(Exhaustion, while_no_segment_can_be_made_rings_are_served_on_and_afterwards_made_again) {
  RingHouse house;
  RawRing attached(house.dir());
  const auto segment = segment_of(shm::kMinSegmentBytes);
  (void)house.settled_segments();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);  // EFBIG it is then
  const rlimit short_of{shm::kMinSegmentBytes, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &short_of), 0);
  EXPECT_EQ(refusal_of(house, segment), "") << "there was a spare one";
  EXPECT_EQ(refusal_of(house, segment), "no_memory");
  expect_served(attached, 1);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, previous);
  EXPECT_EQ(refusal_of(house, segment), "");
  expect_served(attached, 2);
}

TEST(Exhaustion, a_client_that_makes_the_doorbell_block_and_fills_it_blocks_nobody_but_itself) {
  RingHouse house;
  RawRing other(house.dir());
  {
    RawRing hostile(house.dir());
    expect_served(hostile, 1);
    const int flags = ::fcntl(hostile.doorbell(), F_GETFL);
    ASSERT_EQ(::fcntl(hostile.doorbell(), F_SETFL, flags & ~O_NONBLOCK), 0);
    std::uint64_t count = 0;
    pollfd full{hostile.doorbell(), POLLIN, 0};
    if (::poll(&full, 1, 0) == 1) {
      ASSERT_EQ(::read(hostile.doorbell(), &count, sizeof count), 8);  // else our own write would block
    }
    const std::uint64_t most = ~std::uint64_t{0} - 1;
    ASSERT_EQ(::write(hostile.doorbell(), &most, sizeof most), 8);
    for (std::uint32_t calls = 1; calls <= 50; ++calls) expect_served(other, calls);
  }
  EXPECT_TRUE(becomes_true([&] { return house.rings().stats().rings == 1; })) << "its end is noticed";
  expect_served(other, 51);
}

}  // namespace
}  // namespace ringside::worker
