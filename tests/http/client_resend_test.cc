// What the client sends again when a connection ends: a request that may be repeated, and one that the connection did
// not take whole, so that nobody can have run it. Nothing else.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <string>

#include "tests/http/exchanges.h"
#include "tests/http/raw_socket.h"
#include "tests/support/process.h"

namespace ringside::test {
namespace {

using http::Client;
using http::ClientRequest;

const std::string kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

// One that travels with its head, and one that is larger than a socket holds.
const std::string kSmall = "{}";
const std::string kLarge(4U << 20U, 'x');

/// Answers the first request of the first connection, then takes one more and closes; serves well on later connections.
class ClosesAKeptConnection {
 public:
  ClosesAKeptConnection()
      : server_([this](RawSocket& peer, int connection) {
          for (int i = 0; !peer.read_message().empty(); ++i) {
            ++requests_;
            if (connection == 0 && i == 1) return;
            peer.send(kOk);
          }
        }) {}
  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] int requests() const { return requests_; }

 private:
  std::atomic<int> requests_{0};
  RawServer server_;
};

TEST(ClientResend, a_call_is_never_sent_twice_unless_it_may_be_repeated) {
  for (const std::string& body : {kSmall, kLarge}) {
    ClosesAKeptConnection server;
    Client client({});
    ASSERT_TRUE(fetch(client, post(server.url())).ok());
    const auto response = fetch(client, post(server.url(), body));
    ASSERT_FALSE(response.ok());
    EXPECT_EQ(response.error().code, Code::kUnavailable);
    EXPECT_FALSE(http::never_arrived(response.error())) << body.size();
    EXPECT_EQ(server.requests(), 2);
  }
}

TEST(ClientResend, a_repeatable_call_gets_over_a_dead_connection) {
  ClosesAKeptConnection server;
  Client client({});
  ASSERT_TRUE(fetch(client, post(server.url())).ok());
  auto request = post(server.url());
  request.repeatable = true;
  const auto response = fetch(client, std::move(request));
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(server.requests(), 3);
}

ClientRequest post_to(const std::string& socket, const std::string& body) {
  ClientRequest request = post("http://localhost/mcp", body);
  request.unix_socket = socket;
  return request;
}

TEST(ClientResend, what_a_kept_connection_does_not_take_goes_by_another) {
  for (const std::string& body : {kSmall, kLarge}) {
    const TempDir folder;
    std::promise<void> came_by_another;
    RawServer server(folder.file("s"), [&](RawSocket& peer, int connection) {
      EXPECT_NE(peer.read_message(), "");
      if (connection == 0) {
        peer.close_receiving();
        peer.send(kOk);
        came_by_another.get_future().wait_for(std::chrono::seconds(20));  // its end is not what tells the client
      } else {
        peer.send(kOk);
        came_by_another.set_value();
      }
    });
    Client client({});
    ASSERT_TRUE(fetch(client, post_to(folder.file("s"), kSmall)).ok());
    const auto response = fetch(client, post_to(folder.file("s"), body));
    EXPECT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(server.accepted(), 2);
  }
}

TEST(ClientResend, a_call_that_was_cut_short_is_told_from_one_that_may_have_run) {
  const TempDir folder;
  RawServer server(folder.file("s"), [](RawSocket& peer, int) {
    peer.read_until("\r\n\r\n");
    peer.close_receiving();
    peer.wait_for_end();
  });
  Client client({});
  const auto response = fetch(client, post_to(folder.file("s"), kLarge));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_TRUE(http::never_arrived(response.error())) << response.error().message;
  const auto nowhere = fetch(client, post_to(folder.file("nobody"), kSmall));
  ASSERT_FALSE(nowhere.ok());
  EXPECT_TRUE(http::never_arrived(nowhere.error())) << nowhere.error().message;
}

TEST(ClientResend, a_server_that_dies_with_a_call_is_not_taken_for_one_that_never_had_it) {
  const TempDir folder;
  RawServer server(folder.file("s"), [&](RawSocket& peer, int) {
    peer.read_message();
    peer.send(kOk);
    EXPECT_NE(peer.read_message(), "") << "the call has arrived, and may have run";
    std::filesystem::remove(folder.file("s"));  // whoever connects again finds nobody
  });
  Client client({});
  ASSERT_TRUE(fetch(client, post_to(folder.file("s"), kSmall)).ok());
  const auto response = fetch(client, post_to(folder.file("s"), kSmall));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, Code::kUnavailable);
  EXPECT_FALSE(http::never_arrived(response.error())) << response.error().message;
}

}  // namespace
}  // namespace ringside::test
