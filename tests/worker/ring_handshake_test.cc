// Attaching a ring: who gets one, who is refused and why, and that the others are served on.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <future>
#include <memory>

#include "client/cpp/transport.h"
#include "tests/worker/raw_ring.h"
#include "tests/worker/ring_house.h"

namespace ringside::worker {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

UniqueFd memfd(std::size_t bytes, bool allocate, int seals) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  if (allocate) {
    EXPECT_EQ(::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)), 0);
    const auto header = shm::make_header(shm::Side::kClient, bytes, 0, 0);
    EXPECT_EQ(::pwrite(fd.get(), &header, sizeof header, 0), static_cast<ssize_t>(sizeof header));
  }
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}
UniqueFd good_segment() { return memfd(shm::kMinSegmentBytes, true, kSeals); }

/// A raw send, for what send_message would not do: more descriptors than the protocol allows.
void send_many(int socket, const std::string& bytes, const std::vector<int>& descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
  ASSERT_GE(::sendmsg(socket, &message, MSG_NOSIGNAL), 0);
}

struct Knock {
  const char* name;
  std::string message;
  std::function<UniqueFd()> segment;
  int descriptors;
  const char* refusal;
};
void PrintTo(const Knock& knock, std::ostream* out) { *out << knock.name; }

class Handshake : public ::testing::TestWithParam<Knock> {};

TEST_P(Handshake, that_is_hostile_is_refused_by_name_and_others_are_served_on) {
  RingHouse house;
  RawRing other(house.dir());
  const std::size_t maps_before = house.settled_segments();
  const std::size_t descriptors_before = open_descriptors();
  for (int i = 0; i < 3; ++i) {
    const UniqueFd segment = GetParam().segment();
    const std::vector<int> descriptors(static_cast<std::size_t>(GetParam().descriptors), segment.get());
    const UniqueFd socket = dial(house.dir());
    send_many(socket.get(), GetParam().message, descriptors);
    const auto answer = next_message(socket.get());
    ASSERT_TRUE(answer.has_value()) << "a refusal is told";
    ring::v1::AttachReply reply;
    ASSERT_TRUE(reply.ParseFromString(answer->bytes));
    EXPECT_EQ(reply.refusal(), GetParam().refusal);
    EXPECT_FALSE(reply.message().empty()) << "and says what to do";
    EXPECT_TRUE(answer->descriptors.empty());
    EXPECT_TRUE(closes(socket.get()));
  }
  EXPECT_TRUE(becomes_true([&] { return house.refusals(GetParam().refusal) == 3; }));
  EXPECT_EQ(house.rings().stats().rings, 1U);
  other.fill(5, 1, header_of("POST", "/_ringside/echo"));
  other.submit(5);
  EXPECT_TRUE(other.answered(1));
  EXPECT_TRUE(becomes_true([&] { return open_descriptors() <= descriptors_before; }));
  EXPECT_LE(house.settled_segments(), maps_before);
}

UniqueFd a_pipe() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[1]);
  return UniqueFd(ends[0]);
}

/// Its header says that it is longer than it is.
UniqueFd a_truncated_segment() {
  const UniqueFd fd = memfd(2 * shm::kMinSegmentBytes, true, 0);
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(shm::kMinSegmentBytes)), 0);
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, kSeals), 0);
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}
UniqueFd a_segment_with_a_hole() {
  const UniqueFd fd = memfd(shm::kMinSegmentBytes, true, 0);
  EXPECT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 19, 4096), 0);
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, kSeals), 0);
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

INSTANTIATE_TEST_SUITE_P(
    Hostile, Handshake,
    ::testing::Values(
        Knock{"garbage", "\xff\xff\xff garbage", good_segment, 1, "bad_handshake"},
        Knock{"half", attach_request().substr(0, 5), good_segment, 1, "bad_handshake"},
        Knock{"too_long", std::string(5000, 'x'), good_segment, 1, "bad_handshake"},
        Knock{"two_descriptors", attach_request(), good_segment, 2, "wrong_descriptors"},
        Knock{"eight_descriptors", attach_request(), good_segment, 8, "wrong_descriptors"},
        Knock{"many_descriptors", attach_request(), good_segment, 250, "bad_handshake"},
        Knock{"no_version", attach_request(0), good_segment, 1, "unsupported_version"},
        Knock{"no_feature", attach_request(1, 0), good_segment, 1, "no_common_feature"},
        Knock{"unknown_feature", attach_request(1, 1U << 9U), good_segment, 1, "no_common_feature"},
        Knock{"a_pipe", attach_request(), a_pipe, 1, "not_a_memfd"},
        Knock{"unsealed", attach_request(), [] { return memfd(shm::kMinSegmentBytes, true, 0); }, 1, "wrong_seals"},
        Knock{"writable", attach_request(),
              [] { return memfd(shm::kMinSegmentBytes, true, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); }, 1,
              "wrong_seals"},
        Knock{"truncated", attach_request(), a_truncated_segment, 1, "bad_header"},
        Knock{"with_a_hole", attach_request(), a_segment_with_a_hole, 1, "sparse"},
        Knock{"sparse", attach_request(), [] { return memfd(shm::kMinSegmentBytes, false, kSeals); }, 1, "sparse"},
        Knock{"too_small", attach_request(), [] { return memfd(4096, true, kSeals); }, 1, "wrong_size"},
        Knock{"too_large", attach_request(), [] { return memfd(16U << 20U, true, kSeals); }, 1, "wrong_size"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(RingAttach, huge_pages_are_refused_and_a_kernel_that_has_none_refuses_to_make_the_descriptor) {
  // Needs no huge page: a memfd of them is made empty, and it is refused before its size is looked at.
  const UniqueFd huge(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (!huge) {
    EXPECT_TRUE(errno == ENODEV || errno == ENOSYS || errno == EINVAL) << errno;
    return;
  }
  ASSERT_EQ(::fcntl(huge.get(), F_ADD_SEALS, kSeals), 0);
  RingHouse house;
  const UniqueFd socket = dial(house.dir());
  EXPECT_EQ(knock(socket.get(), attach_request(), {huge.get()}).refusal(), "hugetlb");
}

TEST(RingAttach, grants_three_descriptors_and_what_both_sides_know) {
  RingDoorOptions options;
  options.max_body_bytes = 12345;
  RingHouse house(options);
  const RawRing one(house.dir(), 1U | 1U << 7U);
  const RawRing two(house.dir());
  EXPECT_EQ(one.reply().version(), 1U);
  EXPECT_EQ(one.reply().features(), 1U) << "an unknown feature is left out";
  EXPECT_EQ(two.reply().features(), 3U);
  EXPECT_NE(one.reply().ring(), two.reply().ring());
  EXPECT_EQ(one.reply().worker_pid(), ::getpid());
  EXPECT_EQ(one.reply().max_body_bytes(), 12345U);
  EXPECT_TRUE(becomes_true([&] { return house.rings().stats().rings == 2; }));
  EXPECT_EQ(house.rings().stats().bytes, 2 * (shm::kMinSegmentBytes + shm::kDefaultSegmentBytes));
}

TEST(RingAttach, a_newer_client_gets_the_version_that_both_know) {
  RingHouse house;
  const UniqueFd segment = good_segment();
  const UniqueFd socket = dial(house.dir());
  const auto reply = knock(socket.get(), attach_request(99), {segment.get()});
  EXPECT_EQ(reply.refusal(), "");
  EXPECT_EQ(reply.version(), 1U);
}

TEST(RingAttach, no_descriptor_is_refused) {
  RingHouse house;
  const UniqueFd socket = dial(house.dir());
  EXPECT_EQ(knock(socket.get(), attach_request(), {}).refusal(), "wrong_descriptors");
}

TEST(RingAttach, features_that_are_off_are_not_granted) {
  RingDoorOptions options;
  options.handle = false;
  RingHouse house(options);
  EXPECT_EQ(RawRing(house.dir()).reply().features(), 1U);
  const auto refused = connect_ring(house.client_options(), true);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_EQ(house.refusals("no_common_feature"), 1U);
}

TEST(RingAttach, a_client_that_says_nothing_is_dropped) {
  RingDoorOptions options;
  options.handshake_timeout = std::chrono::milliseconds(50);
  RingHouse house(options);
  const UniqueFd silent = dial(house.dir());
  const auto told = next_message(silent.get());
  ASSERT_TRUE(told.has_value());
  ring::v1::AttachReply reply;
  ASSERT_TRUE(reply.ParseFromString(told->bytes));
  EXPECT_EQ(reply.refusal(), "handshake_timeout");
  EXPECT_TRUE(closes(silent.get()));
  EXPECT_EQ(house.refusals("handshake_timeout"), 1U);
  { const UniqueFd gone_at_once = dial(house.dir()); }
  EXPECT_EQ(RawRing(house.dir()).reply().refusal(), "");
}

TEST(RingAttach, more_rings_than_configured_are_refused_until_one_goes) {
  RingDoorOptions options;
  options.max_rings = 2;
  RingHouse house(options);
  auto one = std::make_unique<RawRing>(house.dir());
  const RawRing two(house.dir());
  const UniqueFd segment = good_segment();
  const UniqueFd third = dial(house.dir());
  const auto refused = knock(third.get(), attach_request(), {segment.get()});
  EXPECT_EQ(refused.refusal(), "too_many_rings");
  EXPECT_NE(refused.message().find("perWorker"), std::string::npos);
  EXPECT_FALSE(connect_ring(house.client_options(), false).ok());
  one.reset();
  ASSERT_TRUE(becomes_true([&] { return house.rings().stats().rings == 1; }));
  EXPECT_EQ(RawRing(house.dir()).reply().refusal(), "");
}

TEST(RingAttach, a_flood_of_silent_connections_is_bounded) {
  RingHouse house;
  std::vector<UniqueFd> flood;
  for (int i = 0; i < 140; ++i) flood.push_back(dial(house.dir()));
  EXPECT_TRUE(becomes_true([&] { return house.refusals("too_many_handshakes") == 12; }));
  flood.clear();
  EXPECT_TRUE(becomes_true([&] { return connect_ring(house.client_options(), false).ok(); }));
}

TEST(RingAttach, a_draining_worker_takes_no_ring) {
  RingHouse house;
  std::promise<void> drained;
  house.rings().drain([&] { drained.set_value(); });
  EXPECT_EQ(drained.get_future().wait_for(kPatience), std::future_status::ready) << "none is attached";
  const UniqueFd segment = good_segment();
  const UniqueFd socket = dial(house.dir());
  EXPECT_EQ(knock(socket.get(), attach_request(), {segment.get()}).refusal(), "draining");
}

TEST(RingAttach, a_door_that_was_stopped_or_never_started_closes_what_comes) {
  RingHouse house;
  house.rings().stop();
  house.rings().stop();
  EXPECT_TRUE(closes(dial(house.dir()).get()));
  bool drained = false;
  house.rings().drain([&] { drained = true; });
  EXPECT_TRUE(drained);
}

}  // namespace
}  // namespace ringside::worker
