// The edge as it is configured: where it listens, and what it refuses to do.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/config.h"
#include "tests/support/process.h"

namespace ringside::supervisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

LoadedConfig parse(std::string_view text) { return parse_config(text, "r.json", {}); }

TEST(TcpPlace, is_an_address_and_a_port) {
  EXPECT_EQ(parse_tcp_place("127.0.0.1:80"), (TcpPlace{"127.0.0.1", 80}));
  EXPECT_EQ(parse_tcp_place("localhost:0"), (TcpPlace{"127.0.0.1", 0}));
  EXPECT_EQ(parse_tcp_place("[::1]:65535"), (TcpPlace{"::1", 65535}));
  for (const char* wrong : {"", ":80", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80",
                            "[127.0.0.1]:80", "example.com:80", "127.0.0.1:80 "}) {
    EXPECT_FALSE(parse_tcp_place(wrong)) << wrong;
  }
}

TEST(TcpPlace, loopback_is_told_from_the_rest) {
  EXPECT_TRUE(is_loopback({"127.0.0.1", 1}));
  EXPECT_TRUE(is_loopback({"127.9.9.9", 1}));
  EXPECT_TRUE(is_loopback({"::1", 1}));
  for (const char* other : {"0.0.0.0", "::", "10.0.0.1", "::2", "128.0.0.1"}) EXPECT_FALSE(is_loopback({other, 1}));
}

TEST(TcpPlace, what_listens_tells_where) {
  const auto socket = listen_at(TcpPlace{"127.0.0.1", 0});
  ASSERT_TRUE(socket.ok());
  const TcpPlace bound = bound_place(socket->get());
  EXPECT_EQ(bound.host, "127.0.0.1");
  EXPECT_NE(bound.port, 0);
  EXPECT_EQ(listen_at(bound).error().code, Code::kUnavailable);
  EXPECT_EQ(to_string(TcpPlace{"::1", 7}), "[::1]:7");
}

TEST(Edge, every_key_is_read_and_reaches_the_worker) {
  const auto loaded = parse(R"({"edge": {"listen": "127.0.0.1:1", "grpcListen": "[::1]:2",
    "tls": {"cert": "/c", "key": "/k", "clientCa": "/a"}, "bearerFile": "/b",
    "origins": ["https://app.example.com"], "hosts": ["mcp.example.com"], "requireSession": false}})");
  EXPECT_THAT(loaded.errors, ElementsAre());
  const auto edge = to_worker_config(loaded.config, 0, "/run", "1").edge();
  EXPECT_TRUE(edge.http());
  EXPECT_TRUE(edge.grpc());
  EXPECT_EQ(edge.tls_cert() + edge.tls_key() + edge.client_ca() + edge.bearer_file(), "/c/k/a/b");
  EXPECT_THAT(edge.origins(), ElementsAre("https://app.example.com"));
  EXPECT_THAT(edge.hosts(), ElementsAre("mcp.example.com"));
  EXPECT_FALSE(edge.require_session());
}

TEST(Edge, there_is_none_unless_it_is_asked_for) {
  const auto edge = to_worker_config(parse("{}").config, 0, "/run", "1").edge();
  EXPECT_FALSE(edge.http());
  EXPECT_FALSE(edge.grpc());
  EXPECT_TRUE(edge.require_session());
}

TEST(Edge, a_place_that_is_none_is_told) {
  EXPECT_THAT(parse(R"({"edge": {"listen": "example.com:1", "bearerFile": "b"}})").errors,
              ElementsAre(HasSubstr("edge.listen: expected HOST:PORT"), HasSubstr("expected an absolute path")));
}

TEST(Edge, no_tls_no_token_no_start) {
  const std::string all = test::program("ringsided");
  const auto away = test::run({all, "--check-config", "--http-listen", "0.0.0.0:0"});
  EXPECT_EQ(away.exit_code, 2);
  EXPECT_THAT(away.err, HasSubstr("needs both \"tls\" and \"bearerFile\""));
  const auto remote = test::run({all, "--check-config", "--grpc-listen", "127.0.0.1:0"});
  EXPECT_EQ(remote.exit_code, 2);
  EXPECT_THAT(remote.err, HasSubstr("clientCa"));
  EXPECT_EQ(test::run({all, "--check-config", "--http-listen", "127.0.0.1:0"}).exit_code, 0);
}

TEST(Edge, a_file_that_cannot_be_read_is_told_before_the_start) {
  const test::TempDir folder;
  test::write_file(folder.file("r.json"), R"({"edge": {"listen": "127.0.0.1:0", "bearerFile": "/no/such"}})");
  const auto checked = test::run({test::program("ringsided"), "--check-config", "--config", folder.file("r.json")});
  EXPECT_EQ(checked.exit_code, 2);
  EXPECT_THAT(checked.err, HasSubstr("edge.bearerFile: the file cannot be read: /no/such"));
}

}  // namespace
}  // namespace ringside::supervisor
