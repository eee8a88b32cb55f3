// What the `ringside` command is made of, without a process.

#include <gtest/gtest.h>

#include <sstream>

#include "client/cli/complaint.h"
#include "client/cli/message.h"
#include "client/cli/status.h"
#include "client/cli/table.h"
#include "mcp/envelope.h"
#include "ringside/control/v1/control.pb.h"
#include "tests/support/process.h"

namespace ringside::cli {
namespace {

std::string fault_of(const std::string& params) { return make_message("x/y", params).fault; }

TEST(Message, carries_the_params_as_the_bytes_that_were_given) {
  const std::string odd = R"({ "b":1e2,"a":12345678901234567890,"id":"1"})";
  EXPECT_EQ(make_message("tools/call", odd).text,
            R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":)" + odd + "}");
  EXPECT_EQ(make_message("tools/list", "").text, R"({"jsonrpc":"2.0","id":1,"method":"tools/list"})");
  EXPECT_EQ(make_message("a\"b", "").text, R"({"jsonrpc":"2.0","id":1,"method":"a\"b"})");
  EXPECT_EQ(make_message("x", "[1,2]").text, R"({"jsonrpc":"2.0","id":1,"method":"x","params":[1,2]})");
}

TEST(Message, of_a_notification_has_no_id) {
  EXPECT_EQ(make_message("notifications/x", "").text, R"({"jsonrpc":"2.0","method":"notifications/x"})");
}

TEST(Message, says_where_and_why_params_are_no_json) {
  EXPECT_NE(fault_of(R"({"a":})").find("column 6"), std::string::npos) << fault_of(R"({"a":})");
  EXPECT_NE(fault_of("{").find("not valid JSON"), std::string::npos);
  EXPECT_NE(fault_of("{\"a\":\"\xff\"}").find("UTF-8"), std::string::npos) << fault_of("{\"a\":\"\xff\"}");
  EXPECT_NE(fault_of(std::string(2000, '[') + std::string(2000, ']')).find("too deep"), std::string::npos);
}

TEST(Message, takes_params_that_are_one_object_or_array_only) {
  for (const char* params : {"1", "\"x\"", "null", "true", R"({},"x":1)", R"({},"method":"other")", R"({}} )"}) {
    EXPECT_NE(fault_of(params), "") << params;
  }
}

TEST(Params, come_from_the_argument_standard_input_or_a_file) {
  const test::TempDir folder;
  test::write_file(folder.file("p"), "\n {\"from\":\"file\"} \n");
  std::istringstream in("{\"from\":\"stdin\"}\n");
  EXPECT_EQ(read_params(" {} ", in).text, "{}");
  EXPECT_EQ(read_params("-", in).text, R"({"from":"stdin"})");
  EXPECT_EQ(read_params("@" + folder.file("p"), in).text, R"({"from":"file"})");
  EXPECT_EQ(read_params("", in).text, "");
}

TEST(Params, that_are_not_there_are_named) {
  const test::TempDir folder;
  std::istringstream in("  \n");
  EXPECT_NE(read_params("@" + folder.file("none"), in).fault.find(folder.file("none")), std::string::npos);
  EXPECT_NE(read_params("@" + folder.path(), in).fault, "") << "a folder is no file";
  EXPECT_NE(read_params("-", in).fault.find("standard input is empty"), std::string::npos);
  EXPECT_NE(read_params(" ", in).fault.find("PARAMS is empty"), std::string::npos);
}

TEST(Params, of_initialize_name_our_newest_revision) {
  EXPECT_NE(initialize_params().find(R"("protocolVersion":"2025-11-25")"), std::string::npos);
  EXPECT_EQ(make_message("initialize", initialize_params()).fault, "");
}

mcp::Response answer(int status, std::string body) {
  mcp::Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

TEST(AnAnswer, is_an_error_by_status_by_json_rpc_or_by_the_tool) {
  EXPECT_FALSE(is_error(answer(200, R"({"jsonrpc":"2.0","id":1,"result":{}})")));
  EXPECT_FALSE(is_error(answer(200, R"({"jsonrpc":"2.0","id":1,"result":{"isError":false,"content":[]}})")));
  EXPECT_FALSE(is_error(answer(200, R"({"jsonrpc":"2.0","id":1,"result":{"content":[{"isError":true}]}})")));
  EXPECT_FALSE(is_error(answer(202, "")));
  EXPECT_TRUE(is_error(answer(200, R"({"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}})")));
  EXPECT_TRUE(is_error(answer(200, R"({"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}})")));
  EXPECT_TRUE(is_error(answer(404, R"({"detail":"Session not found"})")));
  EXPECT_TRUE(is_error(answer(200, "<html>")));
}

TEST(AComplaint, says_what_to_do_next) {
  const auto said = [](Code code) { return complaint({code, 0, "why"}, "/r/x.sock", "/r"); };
  EXPECT_EQ(
      said(Code::kUnavailable),
      "nobody answers at /r/x.sock; is ringsided running? start it with: ringsided --runtime-dir /r, or name another "
      "folder with --runtime-dir");
  EXPECT_NE(said(Code::kTimeout).find("--timeout"), std::string::npos);
  EXPECT_NE(said(Code::kDenied).find("run as"), std::string::npos);
  EXPECT_NE(said(Code::kPeerLied).find("why"), std::string::npos);
}

TEST(Seconds, may_be_fractions_and_never_overflow_a_clock) {
  EXPECT_EQ(seconds(0.25), std::chrono::milliseconds(250));
  EXPECT_LE(seconds(1e300), std::chrono::hours(24 * 366));
}

TEST(ATable, is_as_wide_as_its_cells) {
  Table table({"NAME", ">N"});
  EXPECT_TRUE(table.empty());
  table.add({"a", "1"});
  table.add({"longer", "1234"});
  EXPECT_EQ(table.text(), "NAME       N\na          1\nlonger  1234\n");
  EXPECT_FALSE(table.empty());
}

control::v1::StatusResponse status_of_a_house() {
  control::v1::StatusResponse status;
  status.set_version("0.1.0");
  status.set_pid(10);
  status.set_uptime_ms(3'723'000);
  status.set_runtime_dir("/run/ringside");
  status.add_doors("ring");
  status.add_doors("grpc");
  status.set_workers_wanted(2);
  status.set_health("degraded");
  status.set_health_reason("1 of 2 workers are ready");
  status.mutable_last_reload()->add_faults("ringside.json:1: workers: expected a number");
  (*status.mutable_refused_peers())["http.sock"] = 3;
  (*status.mutable_refused_peers())["ring.sock"] = 0;
  auto* ready = status.add_workers();
  ready->set_pid(11);
  ready->set_state(control::v1::Worker::STATE_READY);
  ready->set_up_ms(59'000);
  ready->mutable_report()->set_calls(100);
  ready->mutable_report()->set_rss_bytes(25 << 20);
  (*ready->mutable_report()->mutable_ring_refusals())["slot out of bounds"] = 1;
  auto* upstream = ready->mutable_report()->add_upstreams();
  upstream->set_name("demo");
  upstream->set_kind("http");
  upstream->set_state("ready");
  upstream->set_calls(40);
  auto* dead = status.add_workers();
  dead->set_index(1);
  dead->set_state(control::v1::Worker::STATE_BACKING_OFF);
  dead->set_restarts(7);
  dead->set_circuit_open(true);
  dead->set_last_exit("signal 9");
  dead->set_up_ms(90'000'000);
  *dead->mutable_report()->add_upstreams() = *upstream;
  dead->mutable_report()->mutable_upstreams(0)->set_state("failed");
  return status;
}

TEST(Status, shows_workers_upstreams_and_refusals) {
  EXPECT_EQ(describe(status_of_a_house()),
            "ringsided 0.1.0, pid 10, up 1h2m, in /run/ringside\n"
            "doors: ring grpc\n"
            "health: degraded (1 of 2 workers are ready)\n"
            "workers: 1 of 2 ready\n"
            "the last reload was refused: ringside.json:1: workers: expected a number\n"
            "\n"
            "WORKER  PID  STATE        RESTARTS  LAST EXIT    UP  CONNECTIONS  RINGS  CALLS     RSS\n"
            "     0   11  ready               0  -           59s            0      0    100  25 MiB\n"
            "     1    -  backing_off         7  signal 9   1d1h            0      0      0   0 MiB\n"
            "\n"
            "UPSTREAM  KIND  STATE         CALLS  FAILURES\n"
            "demo      http  failed/ready     80         0\n"
            "\n"
            "peers refused at http.sock 3\n"
            "rings refused: slot out of bounds 1\n");
}

TEST(Status, of_a_supervisor_of_another_version_is_shown_as_far_as_it_is_known) {
  control::v1::StatusResponse status;
  status.add_workers()->set_state(static_cast<control::v1::Worker::State>(99));
  status.set_uptime_ms(61'000);
  EXPECT_NE(describe(status).find("up 1m1s"), std::string::npos);
  EXPECT_NE(describe(status).find("doors: none"), std::string::npos);
  EXPECT_NE(describe(status).find(" ? "), std::string::npos);
}

}  // namespace
}  // namespace ringside::cli
