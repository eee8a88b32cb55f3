#include "rpc/link.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/unix_socket.h"
#include "ringside/link/v1/link.pb.h"

namespace ringside::rpc {
namespace {

using link::v1::ToSupervisor;
using link::v1::ToWorker;
using link::v1::WorkerConfig;

class LinkTest : public testing::Test {
 protected:
  LinkTest() : LinkTest(socket_pair(SocketKind::kSeqPacket, /*blocking=*/false).value()) {}
  explicit LinkTest(std::pair<UniqueFd, UniqueFd> ends) : ours(std::move(ends.first)), theirs(std::move(ends.second)) {}

  static ToWorker drain(std::uint64_t within_ms) {
    ToWorker message;
    message.mutable_drain()->set_within_ms(within_ms);
    return message;
  }
  void send_raw(std::string_view bytes) const {
    ASSERT_EQ(::send(theirs.fd(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }

  Link ours;
  Link theirs;
};

ino_t inode_of(int fd) {
  struct stat info {};
  EXPECT_EQ(::fstat(fd, &info), 0);
  return info.st_ino;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

TEST_F(LinkTest, messages_arrive_whole_and_in_order) {
  ToWorker received;
  EXPECT_EQ(theirs.receive(received).error().code, Code::kFull) << "nothing there yet";
  for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(ours.send(drain(i)).ok());
  for (std::uint64_t i = 1; i <= 3; ++i) {
    const auto got = theirs.receive(received);
    ASSERT_TRUE(got.ok());
    EXPECT_FALSE(got->end_of_file);
    EXPECT_TRUE(got->descriptors.empty());
    EXPECT_EQ(received.drain().within_ms(), i);
  }
}

TEST_F(LinkTest, descriptors_come_with_their_message_and_close_at_exec) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(pipe[0]);
  const UniqueFd write_end(pipe[1]);
  ASSERT_TRUE(ours.send(drain(1), pipe).ok());
  ToWorker received;
  const auto got = theirs.receive(received);
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(got->descriptors.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(inode_of(got->descriptors[i].get()), inode_of(pipe[i]));
    EXPECT_NE(::fcntl(got->descriptors[i].get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(LinkTest, what_was_sent_before_the_end_is_read_before_the_end) {
  ASSERT_TRUE(ours.send(drain(1)).ok());
  { const Link gone = std::move(ours); }
  ToWorker received;
  ASSERT_TRUE(theirs.receive(received).ok());
  EXPECT_EQ(received.drain().within_ms(), 1U);
  const auto end = theirs.receive(received);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->end_of_file);
  EXPECT_EQ(theirs.send(drain(1)).error().code, Code::kUnavailable);
}

TEST_F(LinkTest, a_full_link_says_so_and_takes_more_once_it_was_read) {
  std::uint64_t sent = 0;
  Status last;
  while ((last = ours.send(drain(sent + 1))).ok()) ++sent;
  EXPECT_EQ(last.error().code, Code::kFull);
  ToWorker received;
  for (std::uint64_t i = 1; i <= sent; ++i) {
    ASSERT_TRUE(theirs.receive(received).ok());
    EXPECT_EQ(received.drain().within_ms(), i);
  }
  EXPECT_TRUE(ours.send(drain(1)).ok());
}

TEST_F(LinkTest, garbage_is_a_lie_and_leaves_nothing_open) {
  const auto before = open_descriptors();
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  send_raw("\xff\xff\xff");
  ToSupervisor received;
  EXPECT_EQ(ours.receive(received).error().code, Code::kPeerLied);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(1 + random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    send_raw(bytes);
    const auto got = ours.receive(received);
    EXPECT_TRUE(got.ok() || got.error().code == Code::kPeerLied);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(LinkTest, a_message_that_is_cut_is_a_lie) {
  send_raw(std::string(kMaxLinkMessage + 1, 'x'));
  ToSupervisor received;
  EXPECT_EQ(ours.receive(received).error().code, Code::kPeerLied);
  ToWorker message;
  ASSERT_TRUE(ours.send(drain(1)).ok()) << "the link itself goes on";
  EXPECT_TRUE(theirs.receive(message).ok());
}

TEST_F(LinkTest, too_many_descriptors_are_a_lie_and_all_are_closed) {
  const auto before = open_descriptors();
  constexpr std::size_t kMany = 200;
  std::vector<int> many(kMany, STDERR_FILENO);
  std::vector<char> control(CMSG_SPACE(kMany * sizeof(int)));
  std::string bytes = drain(1).SerializeAsString();
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(kMany * sizeof(int));
  std::memcpy(CMSG_DATA(header), many.data(), kMany * sizeof(int));
  ASSERT_GT(::sendmsg(theirs.fd(), &message, 0), 0);
  ToSupervisor received;
  EXPECT_EQ(ours.receive(received).error().code, Code::kPeerLied);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(LinkTest, a_message_too_long_for_the_link_is_refused_before_it_is_sent) {
  ToSupervisor message;
  message.mutable_failed()->set_reason(std::string(kMaxLinkMessage, 'x'));
  EXPECT_EQ(ours.send(message).error().code, Code::kTooLarge);
  message.mutable_failed()->set_reason(std::string(kMaxLinkMessage - 64, 'x'));
  EXPECT_TRUE(ours.send(message).ok());
}

TEST_F(LinkTest, a_message_that_says_nothing_is_our_own_bug) {
  EXPECT_DEATH(static_cast<void>(ours.send(ToWorker())), "a message of the link says something");
}

WorkerConfig large_config() {
  WorkerConfig config;
  for (int i = 0; i < 3000; ++i) {
    auto* upstream = config.add_upstreams();
    upstream->set_name("server-" + std::to_string(i));
    upstream->mutable_http()->set_url("https://example.invalid/a/rather/long/path/to/mcp");
  }
  return config;
}

TEST(Memfd, a_message_of_any_size_comes_back_and_is_sealed) {
  for (const auto& config : {WorkerConfig(), large_config()}) {
    const auto fd = to_memfd(config);
    ASSERT_TRUE(fd.ok());
    EXPECT_LT(::pwrite(fd->get(), "x", 1, 0), 0);
    EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
    WorkerConfig back;
    back.set_mode("stale");
    ASSERT_TRUE(from_memfd(fd->get(), back).ok());
    EXPECT_EQ(back.SerializeAsString(), config.SerializeAsString());
  }
}

TEST(Memfd, what_is_unsealed_too_long_or_no_message_is_refused) {
  constexpr unsigned kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  WorkerConfig back;
  const UniqueFd unsealed(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(from_memfd(unsealed.get(), back).error().code, Code::kPeerLied);
  ASSERT_EQ(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  EXPECT_EQ(from_memfd(unsealed.get(), back).error().code, Code::kPeerLied) << "it can still shrink while it is read";
  const UniqueFd longer(::memfd_create("longer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(longer.get(), 1LL << 40), 0);
  ASSERT_EQ(::fcntl(longer.get(), F_ADD_SEALS, kSeals), 0);
  EXPECT_EQ(from_memfd(longer.get(), back).error().code, Code::kPeerLied);
  const UniqueFd garbage(::memfd_create("garbage", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::write(garbage.get(), "\xff\xff", 2), 2);
  ASSERT_EQ(::fcntl(garbage.get(), F_ADD_SEALS, kSeals), 0);
  EXPECT_EQ(from_memfd(garbage.get(), back).error().code, Code::kPeerLied);
  const UniqueFd none(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(from_memfd(none.get(), back).error().code, Code::kPeerLied);
  WorkerConfig huge;
  huge.set_mode(std::string(17U << 20U, 'x'));
  EXPECT_EQ(to_memfd(huge).error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace ringside::rpc
