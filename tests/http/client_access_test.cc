// The client and the way to a host: addresses that are never connected to, and answers that come compressed.

#include <gtest/gtest.h>
#include <zlib.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/check.h"
#include "http/client.h"
#include "http/server.h"
#include "tests/http/exchanges.h"

namespace ringside::test {
namespace {

using http::Access;
using http::Client;

std::shared_ptr<const Access> blocking(std::initializer_list<const char*> networks) {
  Access access;
  for (const char* network : networks) access.blocked.push_back(*IpNetwork::parse(network));
  return std::make_shared<const Access>(std::move(access));
}

std::string gzip(const std::string& plain) {
  z_stream stream{};
  RS_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "memory for zlib");
  std::string packed(deflateBound(&stream, static_cast<uLong>(plain.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  RS_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END, "the bound is one");
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// Answers with `body`, compressed when the client takes that.
class Packing {
 public:
  explicit Packing(std::string body)
      : body_(std::move(body)), server_({}, [this](const mcp::Request& request, const auto& responder) {
          ++requests;
          mcp::Response response;
          const bool packs = request.headers.get("accept-encoding").find("gzip") != std::string_view::npos;
          if (packs) response.headers.set("content-encoding", "gzip");
          response.body = packs ? gzip(body_) : body_;
          responder->respond(std::move(response));
        }) {
    port_ = std::to_string(*server_.listen_loopback(0));
  }
  [[nodiscard]] std::string url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + port_ + "/mcp";
  }

  std::atomic<int> requests{0};

 private:
  std::string body_;
  http::Server server_;
  std::string port_;
};

Code code_of(Client& client, const std::string& url, std::shared_ptr<const Access> access) {
  auto request = post(url);
  request.access = std::move(access);
  const auto answer = fetch(client, std::move(request));
  return answer.ok() ? Code::kSystem : answer.error().code;
}

TEST(ClientAccess, an_address_that_is_blocked_is_never_connected_to_whatever_name_leads_there) {
  Packing server("{}");
  Client client({});
  const auto access = blocking({"127.0.0.0/8", "::1"});
  EXPECT_EQ(code_of(client, server.url(), access), Code::kDenied);
  EXPECT_EQ(code_of(client, server.url("localhost"), access), Code::kDenied) << "a name is no way around";
  EXPECT_EQ(code_of(client, server.url("[::ffff:127.0.0.1]"), access), Code::kDenied);
  EXPECT_EQ(code_of(client, server.url("0x7f000001"), access), Code::kDenied);
  EXPECT_EQ(server.requests, 0);
  EXPECT_EQ(code_of(client, server.url(), blocking({"10.0.0.0/8"})), Code::kSystem) << "others are";
}

TEST(ClientAccess, behind_a_proxy_an_address_in_the_url_is_still_blocked) {
  Packing proxy("{}");
  Client client({});
  Access access;
  access.proxy = "http://127.0.0.1:" + proxy.url().substr(17, proxy.url().find('/', 17) - 17);
  access.blocked.push_back(*IpNetwork::parse("169.254.0.0/16"));
  const auto shared = std::make_shared<const Access>(std::move(access));
  EXPECT_EQ(code_of(client, "http://169.254.169.254/latest/meta-data", shared), Code::kDenied);
  EXPECT_EQ(proxy.requests, 0);
  EXPECT_EQ(code_of(client, "http://example.invalid/mcp", shared), Code::kSystem) << "the proxy was asked";
  EXPECT_EQ(proxy.requests, 1);
}

TEST(ClientAccess, a_certificate_that_cannot_be_used_is_said_so) {
  Client client({});
  Access access;
  access.ca_file = "/nonexistent/ca.pem";
  EXPECT_EQ(code_of(client, "https://127.0.0.1:1/mcp", std::make_shared<const Access>(access)), Code::kUnavailable);
}

TEST(ClientAccess, a_compressed_answer_comes_plain_and_only_where_it_was_asked_for) {
  const std::string text(100'000, 'x');
  Packing server(text);
  Client client({});
  auto request = post(server.url());
  request.takes_compressed = true;
  auto answer = fetch(client, std::move(request));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->headers.get("content-encoding"), "gzip");
  EXPECT_TRUE(answer->body == text);
  answer = fetch(client, post(server.url()));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->headers.find("content-encoding"), nullptr);
}

TEST(ClientAccess, a_gzip_bomb_is_too_large) {
  Packing server(std::string(64ULL << 20U, 'x'));
  Client client({});
  auto request = post(server.url());
  request.takes_compressed = true;
  const auto answer = fetch(client, std::move(request), 1 << 20U);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace ringside::test
