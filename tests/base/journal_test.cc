// The log as the journal gets it.

#include "base/journal.h"

#include <gtest/gtest.h>
#include <spdlog/logger.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "tests/support/process.h"

namespace ringside::log {
namespace {

TEST(Journal, an_entry_has_the_message_its_priority_and_a_field_for_each_key) {
  EXPECT_EQ(journal_entry("ringsided", 4, "worker 0 backing off: it died pid=12 exit=\"signal 9\" before=\"ready\""),
            "MESSAGE=worker 0 backing off: it died pid=12 exit=\"signal 9\" before=\"ready\"\nPRIORITY=4\n"
            "SYSLOG_IDENTIFIER=ringsided\nRINGSIDE_PID=12\nRINGSIDE_EXIT=signal 9\nRINGSIDE_BEFORE=ready\n");
}

TEST(Journal, what_a_stranger_wrote_adds_no_field_of_another_name_and_replaces_none) {
  const std::string message = "call failed request_id=1 client=x request_id=2 MESSAGE=3 _PID=4 =5 a\nPRIORITY=0";
  const auto entry = journal_entry("p", 6, message);
  EXPECT_NE(entry.find("RINGSIDE_REQUEST_ID=1\n"), std::string::npos);
  EXPECT_EQ(entry.find("RINGSIDE_REQUEST_ID=2"), std::string::npos);
  EXPECT_EQ(entry.find("\nMESSAGE=3"), std::string::npos);
  EXPECT_EQ(entry.find("\n_PID"), std::string::npos);
  // A message of two lines has its length before it: its second line is no field.
  EXPECT_TRUE(entry.starts_with(std::string("MESSAGE\n") + static_cast<char>(message.size()) + std::string(7, '\0')));
}

TEST(Journal, is_used_only_where_stderr_is_the_journals) {
  struct stat info {};
  ASSERT_EQ(::fstat(0, &info), 0);
  const std::string mine = std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
  EXPECT_TRUE(is_journal_stream(mine, 0));
  EXPECT_FALSE(is_journal_stream(mine + "1", 0));
  EXPECT_FALSE(is_journal_stream("", 0));
  EXPECT_EQ(JournalSink::open("/nobody/listens"), nullptr);
}

TEST(Journal, a_line_of_the_log_is_one_datagram) {
  const test::TempDir folder;
  const std::string path = folder.file("socket");
  const UniqueFd listening(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  spdlog::logger logger("ringside-worker", JournalSink::open(path));
  logger.warn("ring refused reason={}", "bad_magic");
  char bytes[512];
  const ssize_t size = ::recv(listening.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  ASSERT_GT(size, 0);
  EXPECT_EQ(std::string(bytes, static_cast<std::size_t>(size)),
            "MESSAGE=ring refused reason=bad_magic\nPRIORITY=4\nSYSLOG_IDENTIFIER=ringside-worker\n"
            "RINGSIDE_REASON=bad_magic\n");
}

}  // namespace
}  // namespace ringside::log
