// The HTTP edge of a whole Ringside, spoken to by curl over TCP: plain on loopback, TLS with a token, files that
// change.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/house.h"

namespace ringside::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kInitialize =
    R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},)"
    R"("clientInfo":{"name":"curl","version":"1"}}})";
constexpr const char* kPing = R"({"jsonrpc":"2.0","id":"p","method":"ping"})";

/// Where the edge listens, as the log tells.
std::string place_of(const House& house) {
  constexpr std::string_view kMark = "door=edge at=";
  const std::string log = house.log();
  const auto at = log.rfind(kMark);
  if (at == std::string::npos) return "nowhere";
  const auto from = at + kMark.size();
  return log.substr(from, log.find('\n', from) - from);
}

/// What curl prints: head and body. Its exit code is in front when it is not 0.
std::string curl(const std::string& url, std::vector<std::string> more) {
  std::vector<std::string> argv{"curl", "--silent", "--show-error", "--include", "--max-time", "20", url};
  argv.insert(argv.end(), more.begin(), more.end());
  const auto finished = run(argv);
  return finished.exit_code == 0 ? finished.out : std::to_string(finished.exit_code) + " " + finished.err;
}

std::string header_of(const std::string& answer, const std::string& name) {
  const auto at = answer.find(name + ": ");
  if (at == std::string::npos) return {};
  const auto from = at + name.size() + 2;
  return answer.substr(from, answer.find("\r\n", from) - from);
}

/// A certificate of its own for localhost, in FOLDER/cert and FOLDER/key, put there by rename.
void make_certificate(const TempDir& folder) {
  const auto made =
      run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
           "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
           folder.file("key.new"), "-out", folder.file("cert.new")});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  std::filesystem::rename(folder.file("key.new"), folder.file("key"));
  std::filesystem::rename(folder.file("cert.new"), folder.file("cert"));
}

TEST(Edge, a_client_over_tcp_has_its_session_at_every_worker) {
  const House house({.config = R"({"mcpServers": {"builtin": {"builtin": true}}, "edge": {"listen": "127.0.0.1:0"}})"});
  const std::string url = "http://" + place_of(house) + "/mcp";
  const std::string opened = curl(url, {"--data", kInitialize});
  ASSERT_THAT(opened, StartsWith("HTTP/1.1 200"));
  const std::string session = "Mcp-Session-Id: " + header_of(opened, "mcp-session-id");
  // Each curl is a connection, and connections go around.
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(curl(url, {"--data", kPing, "-H", session}), HasSubstr(R"({"jsonrpc":"2.0","id":"p","result":{}})"));
  }
  EXPECT_THAT(curl(url, {"-X", "DELETE", "-H", session}), StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(curl(url, {"--data", kPing, "-H", session}), StartsWith("HTTP/1.1 404"));
}

TEST(Edge, is_there_after_a_death_and_after_a_reload) {
  const House house({.config = R"({"mcpServers": {"builtin": {"builtin": true}}, "edge": {"listen": "127.0.0.1:0"}})"});
  const std::string url = "http://" + place_of(house) + "/live";
  for (const pid_t pid : house.worker_pids()) house.kill_worker(pid);
  EXPECT_THAT(curl(url, {}), StartsWith("HTTP/1.1 200"));
  const auto reload = run({program("ringside"), "--runtime-dir", house.dir(), "reload"});
  EXPECT_EQ(reload.exit_code, 0) << reload.err;
  EXPECT_THAT(curl(url, {}), StartsWith("HTTP/1.1 200"));
}

class SecureEdge : public ::testing::Test {
 protected:
  SecureEdge() {
    make_certificate(folder_);
    write_file(folder_.file("token"), "first-token\n");
  }
  [[nodiscard]] std::string config() const {
    return R"({"mcpServers": {"builtin": {"builtin": true}}, "edge": {"listen": "127.0.0.1:0", "bearerFile": ")" +
           folder_.file("token") + R"(", "tls": {"cert": ")" + folder_.file("cert") + R"(", "key": ")" +
           folder_.file("key") + R"("}}})";
  }
  [[nodiscard]] std::string post(const std::string& url, const std::string& token, const std::string& ca) const {
    return curl(url, {"--data", kInitialize, "--cacert", folder_.file(ca), "-H", "Authorization: Bearer " + token});
  }

  TempDir folder_;
};

TEST_F(SecureEdge, serves_who_brings_the_token_over_tls) {
  const House house({.config = config()});
  const std::string url = "https://" + place_of(house) + "/mcp";
  const std::string opened = post(url, "first-token", "cert");
  EXPECT_THAT(opened, StartsWith("HTTP/1.1 200"));
  const std::string refused = post(url, "first-toke", "cert");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 401"));
  EXPECT_EQ(header_of(refused, "www-authenticate"), "Bearer");
  EXPECT_THAT(curl(url, {"--data", kInitialize, "--cacert", folder_.file("cert")}), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(curl("http://" + place_of(house) + "/mcp", {"--data", kInitialize}),
              testing::Not(HasSubstr("HTTP/1.1 2")));
}

TEST_F(SecureEdge, a_body_of_many_records_comes_back_whole) {
  const House house({.config = config()});
  const std::string url = "https://" + place_of(house) + "/mcp";
  const std::string session = "Mcp-Session-Id: " + header_of(post(url, "first-token", "cert"), "mcp-session-id");
  const std::string message(3UL << 20U, 'x');
  write_file(folder_.file("call"), R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo",)"
                                   R"("arguments":{"message":")" +
                                       message + R"("}}})");
  const std::string answer = curl(url, {"--data-binary", "@" + folder_.file("call"), "--cacert", folder_.file("cert"),
                                        "-H", "Authorization: Bearer first-token", "-H", session});
  EXPECT_THAT(answer, testing::HasSubstr("HTTP/1.1 200"));
  EXPECT_NE(answer.find(message), std::string::npos);
}

TEST_F(SecureEdge, a_new_certificate_is_served_without_a_restart) {
  const House house({.config = config()});
  const std::string url = "https://" + place_of(house) + "/mcp";
  std::filesystem::copy_file(folder_.file("cert"), folder_.file("old"));
  ASSERT_THAT(post(url, "first-token", "old"), StartsWith("HTTP/1.1 200"));
  make_certificate(folder_);
  const auto all_new = [&] {
    for (int i = 0; i < 4; ++i) {
      if (!post(url, "first-token", "cert").starts_with("HTTP/1.1 200")) return false;
    }
    return true;
  };
  EXPECT_TRUE(eventually(all_new)) << house.log();
  EXPECT_THAT(post(url, "first-token", "old"), StartsWith("60 "))
      << "curl's code for a certificate that it cannot trust";
}

TEST_F(SecureEdge, a_token_is_rotated_by_writing_it) {
  const House house({.config = config()});
  const std::string url = "https://" + place_of(house) + "/mcp";
  write_file(folder_.file("token"), "second-token");
  const auto all_new = [&] {
    for (int i = 0; i < 4; ++i) {
      if (!post(url, "second-token", "cert").starts_with("HTTP/1.1 200")) return false;
    }
    return true;
  };
  EXPECT_TRUE(eventually(all_new)) << house.log();
  EXPECT_THAT(post(url, "first-token", "cert"), StartsWith("HTTP/1.1 401"));
}

}  // namespace
}  // namespace ringside::test
