// The contract over TCP: a client is known by its certificate, and nobody else is served.

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include "contextforge/mcp/runtime/v1/runtime.grpc.pb.h"
#include "tests/support/house.h"

namespace ringside::test {
namespace {

namespace contract = contextforge::mcp::runtime::v1;

class RemoteDoor : public ::testing::Test {
 protected:
  RemoteDoor() {
    make_authority("ca");
    make_authority("stranger_ca");
    make_certificate("server", "ca");
    make_certificate("client", "ca");
    make_certificate("stranger", "stranger_ca");
  }

  void openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const auto finished = run(arguments);
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
  }
  void make_authority(const std::string& name) {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=" + name, "-keyout", folder_.file(name + ".key"), "-out", folder_.file(name)});
  }
  void make_certificate(const std::string& name, const std::string& authority) {
    write_file(folder_.file("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
             "-keyout", folder_.file(name + ".key"), "-out", folder_.file(name + ".csr")});
    openssl({"x509", "-req", "-in", folder_.file(name + ".csr"), "-CA", folder_.file(authority), "-CAkey",
             folder_.file(authority + ".key"), "-CAcreateserial", "-days", "2", "-extfile", folder_.file("names"),
             "-out", folder_.file(name)});
  }
  [[nodiscard]] std::string config() const {
    return R"({"mcpServers": {"builtin": {"builtin": true}}, "edge": {"grpcListen": "127.0.0.1:0", "tls": {"cert": ")" +
           folder_.file("server") + R"(", "key": ")" + folder_.file("server.key") + R"(", "clientCa": ")" +
           folder_.file("ca") + R"("}}})";
  }
  /// A ping by who has this certificate; none: without TLS.
  [[nodiscard]] grpc::Status ping(const House& house, const std::string& who, contract::McpResponse& response) const {
    constexpr std::string_view kMark = "door=remote at=";
    const std::string log = house.log();
    const auto from = log.find(kMark) + kMark.size();
    auto credentials = grpc::InsecureChannelCredentials();
    if (!who.empty()) {
      credentials = grpc::SslCredentials(
          {read_file(folder_.file("ca")), read_file(folder_.file(who + ".key")), read_file(folder_.file(who))});
    }
    const auto channel = grpc::CreateChannel(log.substr(from, log.find('\n', from) - from), credentials);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    contract::McpRequest request;
    request.set_method("POST");
    request.set_path("/mcp");
    request.set_body(R"({"jsonrpc":"2.0","id":1,"method":"ping"})");
    return contract::McpRuntime::NewStub(channel)->Invoke(&context, request, &response);
  }

  TempDir folder_;
};

TEST_F(RemoteDoor, serves_a_gateway_by_its_certificate) {
  const House house({.config = config()});
  contract::McpResponse response;
  const auto status = ping(house, "client", response);
  ASSERT_TRUE(status.ok()) << status.error_message() << house.log();
  EXPECT_EQ(response.status(), 200);
  EXPECT_EQ(response.body(), R"({"jsonrpc":"2.0","id":1,"result":{}})");
}

TEST_F(RemoteDoor, refuses_who_has_none_or_anothers) {
  const House house({.config = config()});
  contract::McpResponse response;
  EXPECT_FALSE(ping(house, "stranger", response).ok());
  EXPECT_FALSE(ping(house, "", response).ok());
  EXPECT_TRUE(ping(house, "client", response).ok()) << "others are served as before";
}

}  // namespace
}  // namespace ringside::test
