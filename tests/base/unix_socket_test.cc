#include "base/unix_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ringside {
namespace {

namespace fs = std::filesystem;

/// Works in a private folder of its own, which goes with it.
class Listening : public ::testing::Test {
 protected:
  Listening() {
    std::string pattern = "/tmp/rs-base-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  ~Listening() override { fs::remove_all(folder_); }

  std::string path(const std::string& name = "s") const { return folder_ + "/" + name; }

  std::string folder_;
};

Code code_of(const Result<UniqueFd>& result) { return result.ok() ? Code::kSystem : result.error().code; }

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0);
  return info.st_mode & 07777U;
}

bool is_cloexec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }
bool is_blocking(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

TEST_F(Listening, a_socket_is_private_from_its_first_moment) {
  const mode_t before = ::umask(0);
  const auto listener = listen_at(path(), SocketKind::kStream);
  const mode_t after = ::umask(before);
  ASSERT_TRUE(listener.ok());
  EXPECT_EQ(mode_of(path()), 0660U);
  EXPECT_EQ(after, 0U) << "the process's own umask comes back";
  EXPECT_TRUE(is_cloexec(listener->get()));
  EXPECT_FALSE(is_blocking(listener->get()));
}

TEST_F(Listening, whoever_connects_is_told_apart) {
  for (const SocketKind kind : {SocketKind::kStream, SocketKind::kSeqPacket}) {
    const auto listener = listen_at(path(), kind);
    ASSERT_TRUE(listener.ok());
    const auto client = connect_to(path(), kind);
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(is_cloexec(client->get()));
    EXPECT_TRUE(is_blocking(client->get()));
    const UniqueFd served(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(served.valid());
    const auto peer = peer_credentials(served.get());
    ASSERT_TRUE(peer.ok());
    EXPECT_EQ(peer->pid, ::getpid());
    EXPECT_EQ(peer->uid, ::geteuid());
    EXPECT_EQ(peer->gid, ::getegid());
    std::vector<gid_t> own(static_cast<std::size_t>(::getgroups(0, nullptr)));
    EXPECT_EQ(::getgroups(static_cast<int>(own.size()), own.data()), static_cast<int>(own.size()));
    EXPECT_EQ(peer->groups, own);
    fs::remove(path());
  }
}

TEST_F(Listening, a_stale_socket_is_replaced) {
  ASSERT_TRUE(listen_at(path(), SocketKind::kStream).ok());  // closed at once, its file stays
  ASSERT_TRUE(fs::is_socket(path()));
  EXPECT_EQ(code_of(connect_to(path(), SocketKind::kStream)), Code::kUnavailable);
  const auto again = listen_at(path(), SocketKind::kStream);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(connect_to(path(), SocketKind::kStream).ok());
}

TEST_F(Listening, a_served_socket_is_left_alone) {
  const auto first = listen_at(path(), SocketKind::kStream);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(code_of(listen_at(path(), SocketKind::kStream)), Code::kUnavailable);
  EXPECT_TRUE(connect_to(path(), SocketKind::kStream).ok());
}

TEST_F(Listening, a_foreign_file_in_its_place_is_left_alone) {
  std::ofstream(path()) << "precious";
  EXPECT_EQ(code_of(listen_at(path(), SocketKind::kStream)), Code::kInvalid);
  std::string content;
  std::ifstream(path()) >> content;
  EXPECT_EQ(content, "precious");
  fs::create_symlink(path(), path("link"));
  EXPECT_EQ(code_of(listen_at(path("link"), SocketKind::kStream)), Code::kInvalid);
}

TEST_F(Listening, only_a_private_folder_will_do) {
  EXPECT_TRUE(check_private_directory(folder_).ok());
  ASSERT_EQ(::chmod(folder_.c_str(), 0770), 0);
  EXPECT_TRUE(check_private_directory(folder_).ok());
  for (const mode_t mode : {mode_t{0777}, mode_t{01777}, mode_t{0702}}) {
    ASSERT_EQ(::chmod(folder_.c_str(), mode), 0);
    const Status status = check_private_directory(folder_);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kDenied);
    EXPECT_EQ(code_of(listen_at(path(), SocketKind::kStream)), Code::kDenied);
    EXPECT_FALSE(fs::exists(path()));
  }
  ASSERT_EQ(::chmod(folder_.c_str(), 0700), 0);
  EXPECT_EQ(check_private_directory(path("missing")).error().code, Code::kDenied);
  std::ofstream(path("file")) << "x";
  EXPECT_EQ(check_private_directory(path("file")).error().code, Code::kDenied);
  EXPECT_EQ(code_of(listen_at(path("missing") + "/s", SocketKind::kStream)), Code::kDenied);
}

TEST_F(Listening, a_path_has_its_longest_length) {
  const std::string longest = path(std::string(kMaxSocketPath - folder_.size() - 1, 'x'));
  ASSERT_EQ(longest.size(), kMaxSocketPath);
  const auto listener = listen_at(longest, SocketKind::kStream);
  ASSERT_TRUE(listener.ok());
  EXPECT_TRUE(connect_to(longest, SocketKind::kStream).ok());
  EXPECT_EQ(code_of(listen_at(longest + "x", SocketKind::kStream)), Code::kInvalid);
  EXPECT_EQ(code_of(connect_to(longest + "x", SocketKind::kStream)), Code::kInvalid);
  EXPECT_EQ(code_of(connect_to("", SocketKind::kStream)), Code::kInvalid);
}

TEST_F(Listening, nobody_at_a_path_is_unavailable) {
  EXPECT_EQ(code_of(connect_to(path("missing"), SocketKind::kStream)), Code::kUnavailable);
  EXPECT_EQ(connect_to(path("missing"), SocketKind::kStream).error().os_error, ENOENT);
}

TEST(PeerCredentials, need_a_socket) {
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(peer_credentials(file.get()).error().code, Code::kSystem);
}

/// Two ends of a link in one process.
class Sending : public ::testing::Test {
 protected:
  void connect(bool blocking = false) {
    auto pair = socket_pair(SocketKind::kSeqPacket, blocking);
    ASSERT_TRUE(pair.ok());
    left_ = std::move(pair->first);
    right_ = std::move(pair->second);
  }

  UniqueFd left_;
  UniqueFd right_;
};

TEST_F(Sending, a_pair_starts_in_the_mode_that_was_asked_for) {
  for (const bool blocking : {false, true}) {
    connect(blocking);
    EXPECT_EQ(is_blocking(left_.get()), blocking);
    EXPECT_EQ(is_blocking(right_.get()), blocking);
    EXPECT_TRUE(is_cloexec(left_.get()));
  }
}

TEST_F(Sending, messages_keep_their_bounds_and_their_order) {
  connect();
  using std::string_literals::operator""s;
  for (const std::string& text : {"one"s, "t\0wo"s, std::string(5000, 'x')}) {
    ASSERT_TRUE(send_message(left_.get(), text).ok());
  }
  EXPECT_EQ(receive_message(right_.get(), 5000)->bytes, "one");
  EXPECT_EQ(receive_message(right_.get(), 5000)->bytes, "t\0wo"s);
  const auto last = receive_message(right_.get(), 5000);
  EXPECT_EQ(last->bytes.size(), 5000U);
  EXPECT_FALSE(last->end_of_file);
  EXPECT_EQ(receive_message(right_.get(), 5000).error().code, Code::kFull);
}

TEST_F(Sending, descriptors_travel_with_their_message) {
  connect();
  std::array<int, kMaxDescriptors> ends{};
  std::vector<UniqueFd> keep;
  for (int& end : ends) {
    keep.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    end = keep.back().get();
  }
  ASSERT_TRUE(send_message(left_.get(), "eight", ends).ok());
  ASSERT_TRUE(send_message(left_.get(), "one", std::span(ends).first(1)).ok());
  const auto eight = receive_message(right_.get(), 100);
  ASSERT_TRUE(eight.ok());
  EXPECT_EQ(eight->bytes, "eight");
  ASSERT_EQ(eight->descriptors.size(), kMaxDescriptors);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    struct stat sent {};
    struct stat received {};
    ASSERT_EQ(::fstat(ends[i], &sent), 0);
    ASSERT_EQ(::fstat(eight->descriptors[i].get(), &received), 0);
    EXPECT_EQ(sent.st_rdev, received.st_rdev);
    EXPECT_NE(eight->descriptors[i].get(), ends[i]);
    EXPECT_TRUE(is_cloexec(eight->descriptors[i].get()));
  }
  EXPECT_EQ(receive_message(right_.get(), 100)->descriptors.size(), 1U);
}

TEST_F(Sending, too_many_descriptors_are_a_lie_and_none_stays_open) {
  connect();
  constexpr std::size_t kTooMany = kMaxDescriptors + 1;
  std::array<int, kTooMany> ends{};
  ends.fill(STDIN_FILENO);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kTooMany * sizeof(int))> control{};
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof ends);
  std::memcpy(CMSG_DATA(header), ends.data(), sizeof ends);
  ASSERT_EQ(::sendmsg(left_.get(), &message, MSG_NOSIGNAL), 1);
  const std::size_t before = open_descriptors();
  EXPECT_EQ(receive_message(right_.get(), 100).error().code, Code::kPeerLied);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Sending, descriptors_that_find_no_free_number_are_lost_together_and_the_message_is_not) {
  connect();
  const std::array<int, 2> ends = {left_.get(), right_.get()};
  ASSERT_TRUE(send_message(left_.get(), "one", ends).ok());
  ASSERT_TRUE(send_message(left_.get(), "two", ends).ok());
  const std::size_t before = open_descriptors();
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  // One number is free, and two are needed.
  const int free = ::dup(left_.get());
  ::close(free);
  const rlimit low{static_cast<rlim_t>(free) + 1, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto poor = receive_message(right_.get(), 100);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  ASSERT_TRUE(poor.ok());
  EXPECT_EQ(poor->bytes, "one");
  EXPECT_TRUE(poor->descriptors_lost);
  EXPECT_TRUE(poor->descriptors.empty());
  EXPECT_EQ(open_descriptors(), before);
  const auto rich = receive_message(right_.get(), 100);
  EXPECT_EQ(rich->bytes, "two");
  EXPECT_FALSE(rich->descriptors_lost);
  EXPECT_EQ(rich->descriptors.size(), 2U);
}

TEST_F(Sending, a_message_over_the_limit_is_a_lie_and_its_descriptors_are_closed) {
  connect();
  const std::array<int, 2> ends = {left_.get(), right_.get()};
  ASSERT_TRUE(send_message(left_.get(), "12345", ends).ok());
  ASSERT_TRUE(send_message(left_.get(), "1234").ok());
  const std::size_t before = open_descriptors();
  EXPECT_EQ(receive_message(right_.get(), 4).error().code, Code::kPeerLied);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(receive_message(right_.get(), 4)->bytes, "1234");
}

TEST_F(Sending, an_end_that_closes_is_seen_after_what_it_sent) {
  connect();
  ASSERT_TRUE(send_message(left_.get(), "last words").ok());
  left_.reset();
  EXPECT_EQ(receive_message(right_.get(), 100)->bytes, "last words");
  const auto end = receive_message(right_.get(), 100);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->end_of_file);
  EXPECT_TRUE(end->bytes.empty());
  EXPECT_EQ(send_message(right_.get(), "x").error().code, Code::kUnavailable);
}

TEST_F(Sending, an_end_that_closes_with_messages_unread_is_gone) {
  connect();
  ASSERT_TRUE(send_message(left_.get(), "unread").ok());
  right_.reset();
  EXPECT_EQ(receive_message(left_.get(), 100).error().code, Code::kUnavailable);
}

TEST_F(Sending, a_full_link_says_so_and_takes_more_once_it_is_read) {
  connect();
  const std::string text(4096, 'x');
  Status status;
  std::size_t sent = 0;
  while ((status = send_message(left_.get(), text)).ok()) ++sent;
  EXPECT_EQ(status.error().code, Code::kFull);
  for (std::size_t i = 0; i < sent; ++i) ASSERT_TRUE(receive_message(right_.get(), text.size()).ok());
  EXPECT_TRUE(send_message(left_.get(), text).ok());
}

TEST_F(Sending, what_is_no_socket_fails) {
  const UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(send_message(file.get(), "x").error().code, Code::kSystem);
  EXPECT_EQ(receive_message(file.get(), 1).error().code, Code::kSystem);
}

}  // namespace
}  // namespace ringside
