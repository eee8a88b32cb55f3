// Who is let in: to the folder, to the sockets, and what control.sock tells about it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "ringside/control/v1/control.grpc.pb.h"
#include "rpc/channel.h"
#include "supervisor/peer_check.h"
#include "tests/supervisor/pool.h"

namespace ringside::test {
namespace {

using supervisor::refused_by;
using testing::HasSubstr;

constexpr uid_t kNobody = 65534;

PeerCredentials peer_of(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
  return {.pid = 1, .uid = uid, .gid = gid, .groups = std::move(groups)};
}

/// What server reflection (v1alpha) lists, as the bytes of its answer. Spoken by hand: the request is list_services
/// (7).
std::string ask_reflection(const std::string& path) {
  grpc::GenericStub stub(rpc::channel_to_path(path, 1 << 20));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  grpc::CompletionQueue queue;
  const auto finished = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call =
      stub.PrepareCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  EXPECT_TRUE(finished());
  const grpc::Slice request(std::string("\x3a\x01*"));
  call->Write(grpc::ByteBuffer(&request, 1), nullptr);
  EXPECT_TRUE(finished());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  EXPECT_TRUE(finished());
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (answer.Dump(&slices).ok()) {
    for (const auto& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  finished();
  return bytes;
}

TEST(PeerCheck, root_and_the_services_own_user_may_always_connect) {
  EXPECT_EQ(refused_by(peer_of(0, 0), 990, {}), "");
  EXPECT_EQ(refused_by(peer_of(990, 990), 990, {}), "");
  EXPECT_EQ(refused_by(peer_of(0, 0), 990, {.users = {1000}, .groups = {}}), "");
}

TEST(PeerCheck, others_need_to_be_listed_by_user_or_by_any_of_their_groups) {
  EXPECT_EQ(refused_by(peer_of(1000, 1000), 990, {}), "only root and the service's own user may connect");
  EXPECT_EQ(refused_by(peer_of(1000, 1000), 990, {.users = {1000}, .groups = {}}), "");
  EXPECT_EQ(refused_by(peer_of(1001, 1000), 990, {.users = {1000}, .groups = {}}), "not a user of peers.users");
  const supervisor::PeerList groups{.users = {}, .groups = {50, 60}};
  EXPECT_EQ(refused_by(peer_of(1000, 60), 990, groups), "");
  EXPECT_EQ(refused_by(peer_of(1000, 1, {2, 50}), 990, groups), "");
  EXPECT_EQ(refused_by(peer_of(1000, 1, {2, 3}), 990, groups),
            "not a user of peers.users, nor in a group of peers.groups");
  EXPECT_EQ(refused_by(peer_of(1000, 990), 990, {}), "only root and the service's own user may connect");
}

/// Lets anybody reach the sockets, so that it is the peer check that decides.
void open_up(const Pool& pool) {
  ::chmod(pool.folder().path().c_str(), 0755);
  ::chmod(pool.dir().c_str(), 0755);
  for (const char* name : {"runtime.sock", "http.sock", "control.sock"}) ::chmod(pool.socket(name).c_str(), 0666);
}

TEST(Admission, a_refused_http_peer_reads_403_and_others_are_closed) {
  Pool pool({});
  pool.wait_ready();
  open_up(pool);
  Peer http = Peer::to_as(pool.socket("http.sock"), kNobody, kNobody);
  http.say("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(
      http.rest(),
      "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 29\r\nConnection: close\r\n\r\n"
      R"({"detail":"Peer not allowed"})");
  EXPECT_EQ(Peer::to_as(pool.socket("runtime.sock"), kNobody, kNobody).rest(), "");
  EXPECT_EQ(Peer::to_as(pool.socket("control.sock"), kNobody, kNobody).rest(), "");
  const auto status = pool.status();
  const auto& refused = status.refused_peers();
  EXPECT_EQ(refused.at("http.sock"), 1U);
  EXPECT_EQ(refused.at("runtime.sock"), 1U);
  EXPECT_EQ(refused.at("control.sock"), 1U);
  EXPECT_EQ(refused.at("ring.sock"), 0U);
  EXPECT_THAT(pool.log(),
              HasSubstr("peer refused: only root and the service's own user may connect socket=runtime.sock"));
  EXPECT_EQ(pool.worker(0).connections_handed(), 0U);
}

TEST(Admission, a_listed_user_and_a_member_of_a_listed_group_are_served) {
  Pool pool({.config = R"({"peers": {"users": [65533], "groups": [65532]}})"});
  pool.wait_ready();
  open_up(pool);
  Peer user = Peer::to_as(pool.socket("runtime.sock"), 65533, 65533);
  EXPECT_EQ(number_in(user.line().value_or("uid=-1"), "uid"), 65533);
  Peer member = Peer::to_as(pool.socket("runtime.sock"), kNobody, 65532);
  EXPECT_EQ(number_in(member.line().value_or("uid=-1"), "uid"), 65534);
  EXPECT_EQ(Peer::to_as(pool.socket("runtime.sock"), kNobody, kNobody).rest(), "");
}

TEST(Admission, a_listed_user_may_look_at_the_supervisor_and_gives_it_no_orders) {
  Pool pool({.config = R"({"peers": {"users": [65533]}})"});
  pool.wait_ready();
  open_up(pool);
  UniqueFd connection = Peer::to_as(pool.socket("control.sock"), 65533, 65533).release();
  ASSERT_EQ(::fcntl(connection.get(), F_SETFL, O_NONBLOCK), 0);
  const auto stub = control::v1::Control::NewStub(rpc::channel_on_fd(std::move(connection), 1 << 20));
  grpc::ClientContext looks;
  control::v1::StatusResponse status;
  EXPECT_TRUE(stub->Status(&looks, {}, &status).ok());
  grpc::ClientContext orders;
  control::v1::OrderResponse response;
  EXPECT_EQ(stub->Reload(&orders, {}, &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(pool.status().generation(), 1U);
}

TEST(Admission, sockets_are_for_the_service_and_its_group_only) {
  Pool pool({});
  for (const char* name : {"runtime.sock", "ring.sock", "http.sock", "control.sock"}) {
    struct stat info {};
    ASSERT_EQ(::stat(pool.socket(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0660U) << name;
  }
  struct stat folder {};
  ASSERT_EQ(::stat(pool.dir().c_str(), &folder), 0);
  EXPECT_EQ(folder.st_mode & 0777U, 0750U);
}

TEST(Admission, a_second_supervisor_in_the_folder_is_refused_and_told_who_holds_it) {
  Pool pool({});
  pool.wait_ready();
  const auto second = start_badly({"--runtime-dir", pool.dir()});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("another ringsided (pid " + std::to_string(pool.process().pid()) +
                                    ") holds this folder; stop it, or choose another --runtime-dir dir=" + pool.dir()));
  EXPECT_EQ(pool.health(""), "SERVING");
}

TEST(Admission, a_folder_that_others_can_write_is_refused_with_what_to_do) {
  const TempDir folder;
  ::chmod(folder.path().c_str(), 0777);
  const auto refused = start_badly({"--runtime-dir", folder.path()});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("chmod o-w " + folder.path()));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Admission, a_folder_that_cannot_be_made_or_locked_is_an_error_with_what_to_do) {
  const TempDir folder;
  const auto missing = start_badly({"--runtime-dir", folder.file("a/b")});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("the runtime folder cannot be made; make it, or choose another --runtime-dir"));
  std::filesystem::create_symlink("/dev/null", folder.file("ringsided.lock"));
  const auto linked = start_badly({"--runtime-dir", folder.path()});
  EXPECT_EQ(linked.exit_code, 1);
  EXPECT_THAT(linked.err, HasSubstr("the lock file cannot be opened"));
}

TEST(Admission, something_else_in_a_sockets_place_is_not_removed) {
  const TempDir folder;
  write_file(folder.file("http.sock"), "precious");
  const auto refused = start_badly({"--runtime-dir", folder.path()});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("move it away"));
  EXPECT_EQ(read_file(folder.file("http.sock")), "precious");
  EXPECT_FALSE(std::filesystem::exists(folder.file("runtime.sock"))) << "what was bound before is removed";
}

TEST(Admission, a_worker_program_that_is_not_there_is_an_error_with_what_to_do) {
  const TempDir folder;
  const auto refused =
      run({program("ringsided"), "--runtime-dir", folder.path(), "--worker-program", "/nowhere/worker"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err,
              HasSubstr("install it beside ringsided or name it by --worker-program program=/nowhere/worker"));
}

TEST(ControlSocket, it_tells_the_pool_and_answers_health_for_each_service) {
  Pool pool({.workers = 2});
  pool.wait_ready();
  const auto status = pool.status();
  EXPECT_EQ(status.pid(), pool.process().pid());
  EXPECT_EQ(status.runtime_dir(), pool.dir());
  EXPECT_EQ(status.workers_wanted(), 2U);
  EXPECT_THAT(status.doors(), testing::ElementsAre("ring", "handle", "grpc", "http"));
  EXPECT_FALSE(status.version().empty());
  for (const auto& worker : status.workers()) {
    EXPECT_GT(worker.pid(), 0);
    EXPECT_LE(worker.up_ms(), status.uptime_ms());
  }
  for (const char* service : {"", "contextforge.mcp.runtime.v1.McpRuntime", "ringside.control.v1.Control"}) {
    EXPECT_EQ(pool.health(service), "SERVING") << service;
  }
  EXPECT_EQ(pool.health("nobody.Knows"), "unknown");
}

TEST(ControlSocket, reflection_names_its_services) {
  Pool pool({});
  const std::string answer = ask_reflection(pool.socket("control.sock"));
  for (const char* service : {"ringside.control.v1.Control", "grpc.health.v1.Health", "grpc.reflection.v1alpha"}) {
    EXPECT_THAT(answer, HasSubstr(service));
  }
}

TEST(ControlSocket, a_workers_report_is_passed_on) {
  Pool pool({});
  pool.wait_ready();
  Peer peer = Peer::to(pool.socket("runtime.sock"));
  ASSERT_TRUE(peer.line().has_value());
  EXPECT_TRUE(eventually([&] { return pool.worker(0).report().connections_open() == 1; }));
  EXPECT_EQ(pool.worker(0).connections_handed(), 1U);
}

}  // namespace
}  // namespace ringside::test
