// Sockets that somebody else made and handed over, as systemd's socket units do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/supervisor/pool.h"

namespace ringside::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// Listening sockets outside of the runtime folder, as a socket unit makes them.
class Sockets {
 public:
  UniqueFd listen(const std::string& name, SocketKind kind = SocketKind::kStream) {
    auto fd = listen_at(path(name), kind);
    EXPECT_TRUE(fd.ok());
    return std::move(fd).value();
  }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.file(name); }

 private:
  TempDir folder_;
};

/// What the descriptors of a process are open on.
std::vector<std::string> open_files(pid_t pid) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    std::error_code gone;
    out.push_back(std::filesystem::read_symlink(entry.path(), gone).string());
  }
  return out;
}

std::string inode_of(int fd) {
  struct stat info {};
  EXPECT_EQ(::fstat(fd, &info), 0);
  return "socket:[" + std::to_string(info.st_ino) + "]";
}

TEST(Adoption, a_socket_handed_over_is_served_and_the_others_are_made_as_ever) {
  Sockets sockets;
  const UniqueFd runtime = sockets.listen("elsewhere");
  Pool pool({.handed_over = {{"runtime", runtime.get()}}});
  pool.wait_ready();
  EXPECT_EQ(number_in(Peer::to(sockets.path("elsewhere")).line().value_or("door=-1"), "door"), 1);
  EXPECT_FALSE(std::filesystem::exists(pool.socket("runtime.sock")));
  for (const char* name : {"ring.sock", "http.sock"}) EXPECT_TRUE(std::filesystem::exists(pool.socket(name))) << name;
}

TEST(Adoption, every_socket_can_be_handed_over_in_any_order) {
  Sockets sockets;
  const UniqueFd http = sockets.listen("h");
  const UniqueFd ring = sockets.listen("q", SocketKind::kSeqPacket);
  const UniqueFd control = sockets.listen("c");
  const UniqueFd runtime = sockets.listen("r");
  {
    // Not by Pool, which waits for a control.sock in the folder.
    const TempDir folder;
    Process supervisor(as_systemd(
        {program("ringsided"), "--runtime-dir", folder.path(), "--workers", "1", "--worker-program",
         program("supervisor_fake_worker")},
        {}, {{"http", http.get()}, {"ring", ring.get()}, {"control", control.get()}, {"runtime", runtime.get()}}));
    EXPECT_EQ(number_in(Peer::to(sockets.path("r")).line().value_or("door=-1"), "door"), 1);
    EXPECT_EQ(number_in(Peer::to(sockets.path("h")).line().value_or("door=-1"), "door"), 3);
    EXPECT_EQ(number_in(Peer::to(sockets.path("q"), SocketKind::kSeqPacket).line().value_or("door=-1"), "door"), 2);
    EXPECT_EQ(status_at(sockets.path("c")).pid(), supervisor.pid());
    supervisor.signal(SIGTERM);
    EXPECT_EQ(supervisor.wait(), 0);
  }
  for (const char* name : {"h", "q", "c", "r"}) {
    EXPECT_TRUE(std::filesystem::exists(sockets.path(name))) << name << " is not ours to remove";
  }
}

TEST(Adoption, a_connection_made_before_the_start_is_served) {
  Sockets sockets;
  const UniqueFd runtime = sockets.listen("r");
  Peer early = Peer::to(sockets.path("r"));
  const Pool pool({.handed_over = {{"runtime", runtime.get()}}});
  EXPECT_TRUE(early.line().has_value());
}

TEST(Adoption, what_was_adopted_keeps_its_rights_its_file_and_its_queue) {
  Sockets sockets;
  const UniqueFd runtime = sockets.listen("r");
  ASSERT_EQ(::chmod(sockets.path("r").c_str(), 0666), 0);
  {
    Pool pool({.handed_over = {{"runtime", runtime.get()}}});
    pool.wait_ready();
    EXPECT_EQ(pool.stop(), 0);
  }
  struct stat info {};
  ASSERT_EQ(::stat(sockets.path("r").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0666U);
  Peer between = Peer::to(sockets.path("r"));
  const Pool next({.handed_over = {{"runtime", runtime.get()}}});
  EXPECT_TRUE(between.line().has_value()) << "who came between two supervisors is served by the second";
}

TEST(Adoption, a_supervisor_killed_outright_leaves_the_socket_to_the_next) {
  Sockets sockets;
  const UniqueFd runtime = sockets.listen("r");
  Pool pool({.handed_over = {{"runtime", runtime.get()}}});
  pool.wait_ready();
  pool.process().signal(SIGKILL);
  pool.process().wait();
  Peer between = Peer::to(sockets.path("r"));
  const Pool next({.handed_over = {{"runtime", runtime.get()}}});
  EXPECT_TRUE(between.line().has_value());
}

TEST(Adoption, workers_get_neither_the_variables_nor_the_descriptors) {
  Sockets sockets;
  const UniqueFd runtime = sockets.listen("r");
  const UniqueFd http = sockets.listen("h");
  Pool pool({.environment = {"NOTIFY_SOCKET=@nobody", "WATCHDOG_USEC=60000000"},
             .handed_over = {{"runtime", runtime.get()}, {"http", http.get()}}});
  pool.wait_ready();
  const pid_t worker = pool.pids().at(0);
  const std::string environment = read_file("/proc/" + std::to_string(worker) + "/environ");
  EXPECT_THAT(environment, AllOf(Not(HasSubstr("LISTEN_")), Not(HasSubstr("NOTIFY_SOCKET")), Not(HasSubstr("WATCHDOG")),
                                 HasSubstr("RINGSIDE_FAKE_WORKER=")));
  EXPECT_THAT(open_files(worker),
              AllOf(Not(testing::Contains(inode_of(runtime.get()))), Not(testing::Contains(inode_of(http.get())))));
}

TEST(Adoption, variables_meant_for_another_process_are_ignored) {
  Pool pool({.environment = {"LISTEN_PID=1", "LISTEN_FDS=3", "LISTEN_FDNAMES=a:b:c"}});
  pool.wait_ready();
  EXPECT_TRUE(Peer::to(pool.socket("runtime.sock")).line().has_value());
}

TEST(Adoption, a_socket_whose_door_is_off_turns_its_clients_away_at_once) {
  Sockets sockets;
  const UniqueFd http = sockets.listen("h");
  Pool pool({.config = R"({"doors": ["grpc"]})", .handed_over = {{"http", http.get()}}});
  EXPECT_EQ(Peer::to(sockets.path("h")).rest(), "");
  pool.wait_for_log("disable its unit, or name the door in \"doors\" name=http");
}

TEST(Adoption, metrics_come_over_a_socket_that_was_handed_over) {
  Sockets sockets;
  const UniqueFd metrics = sockets.listen("m");
  Pool pool({.handed_over = {{"metrics", metrics.get()}}});
  Peer peer = Peer::to(sockets.path("m"));
  peer.say("GET /metrics HTTP/1.1\r\nHost: ringside\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(peer.rest(), HasSubstr("ringside_build_info"));
  EXPECT_FALSE(std::filesystem::exists(pool.socket("metrics.sock")));
}

TEST(Adoption, a_name_that_we_do_not_know_is_refused_with_the_names_there_are) {
  Sockets sockets;
  const UniqueFd socket = sockets.listen("s");
  const TempDir folder;
  const auto refused = start_badly({"--runtime-dir", folder.path()}, {}, {{"ringside.socket", socket.get()}});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("FileDescriptorName= is one of runtime, ring, http, control, metrics"));
  EXPECT_THAT(refused.err, HasSubstr("name=\"ringside.socket\" descriptor=3"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "nothing is begun";
}

TEST(Adoption, what_cannot_be_served_is_refused_with_what_to_write_in_its_unit) {
  Sockets sockets;
  const TempDir folder;
  const UniqueFd stream = sockets.listen("s");
  const auto [connection, other_end] = socket_pair(SocketKind::kStream, false).value();
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto refused = start_badly(
      {"--runtime-dir", folder.path()}, {},
      {{"ring", stream.get()}, {"runtime", connection.get()}, {"control", file.get()}, {"http", tcp.get()}});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("it is a Unix socket of another type; use ListenSequentialPacket=/path in its "
                                     "socket unit name=\"ring\" descriptor=3"));
  EXPECT_THAT(refused.err, HasSubstr("it does not listen: it is a connection, or was never made to; set Accept=no in "
                                     "its socket unit name=\"runtime\" descriptor=4"));
  EXPECT_THAT(refused.err, HasSubstr("it is no socket; use ListenStream=/path in its socket unit name=\"control\""));
  EXPECT_THAT(refused.err, HasSubstr("it is no Unix socket, and no other kind is served; use ListenStream=/path"));
}

TEST(Adoption, descriptors_that_are_not_there_are_an_error_with_what_to_do) {
  const TempDir folder;
  const auto refused = run({"/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=90 exec \"$@\"", "sh", program("ringsided"),
                            "--runtime-dir", folder.path(), "--worker-program", program("supervisor_fake_worker")});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("do not fit together; start ringsided by its unit"));
}

}  // namespace
}  // namespace ringside::test
