#include "supervisor/handover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <map>
#include <set>

#include "base/unix_socket.h"

namespace ringside::supervisor {
namespace {

using link::v1::Connection;
using testing::ElementsAre;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

TEST(ByLoad, the_least_loaded_comes_first_and_equals_take_turns) {
  EXPECT_THAT(by_load({{0, 5}, {1, 2}, {2, 9}}, 0), ElementsAre(1U, 0U, 2U));
  EXPECT_THAT(by_load({{0, 1}, {1, 1}, {2, 1}}, 0), ElementsAre(0U, 1U, 2U));
  EXPECT_THAT(by_load({{0, 1}, {1, 1}, {2, 1}}, 2), ElementsAre(2U, 0U, 1U));
  EXPECT_THAT(by_load({{0, 1}, {1, 1}, {2, 0}}, 1), ElementsAre(2U, 1U, 0U));
  EXPECT_THAT(by_load({{0, 1}, {1, 1}}, 7), ElementsAre(0U, 1U));
  EXPECT_THAT(by_load({}, 3), ElementsAre());
}

/// A connection whose client end the test keeps.
struct Pair {
  UniqueFd client;
  UniqueFd server;
};

Pair connect() {
  auto ends = socket_pair(SocketKind::kStream, /*blocking=*/false);
  return {std::move(ends.value().first), std::move(ends.value().second)};
}

void say(const Pair& pair, std::string_view text) {
  ASSERT_EQ(::send(pair.client.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
}

bool is_closed(const UniqueFd& client) {
  char byte = 0;
  const ssize_t size = ::recv(client.get(), &byte, 1, MSG_DONTWAIT);
  return size == 0 || (size < 0 && errno == ECONNRESET);
}

TEST(Preface, it_is_untouched_only_while_every_byte_of_it_can_be_peeked) {
  Pair pair = connect();
  EXPECT_FALSE(preface_untouched(pair.server.get())) << "nothing came yet";
  say(pair, kPreface.substr(0, 10));
  EXPECT_FALSE(preface_untouched(pair.server.get())) << "a part of it";
  say(pair, kPreface.substr(10));
  EXPECT_TRUE(preface_untouched(pair.server.get()));
  say(pair, "more");
  EXPECT_TRUE(preface_untouched(pair.server.get()));
  char byte = 0;
  ASSERT_EQ(::recv(pair.server.get(), &byte, 1, 0), 1);
  EXPECT_FALSE(preface_untouched(pair.server.get())) << "a byte was read";
  Pair other = connect();
  say(other, "GET /health HTTP/1.1\r\nHost: here\r\n\r\n");
  EXPECT_FALSE(preface_untouched(other.server.get()));
  other.client.reset();
  char all[64];
  ASSERT_GT(::recv(other.server.get(), all, sizeof all, 0), 0);
  EXPECT_FALSE(preface_untouched(other.server.get())) << "closed";
}

/// A Handover over workers that exist in the test only.
class HandoverTest : public testing::Test {
 protected:
  Accepted accepted(Pair& pair, Connection::Door door = Connection::DOOR_GRPC) {
    return {std::move(pair.server), door, 1, 2};
  }

  FakeClock clock;
  std::map<std::size_t, std::uint64_t> workers{{0, 0}, {1, 0}};
  std::set<std::size_t> full;
  std::set<std::size_t> lost;
  Code drop = Code::kFull;
  std::vector<std::size_t> handed;
  Handover handover{clock,
                    [this] {
                      std::vector<Load> loads;
                      for (const auto& [slot, load] : workers) loads.push_back({slot, load});
                      return loads;
                    },
                    [this](std::size_t slot, const Accepted&) {
                      if (full.contains(slot)) return Status(Error{Code::kFull, 0, "full"});
                      if (lost.contains(slot)) return Status(Error{Code::kUnavailable, 0, "lost"});
                      if (drop != Code::kFull) return Status(Error{drop, 0, "cannot"});
                      handed.push_back(slot);
                      ++workers[slot];
                      return Status();
                    }};
};

TEST_F(HandoverTest, a_worker_without_room_or_link_is_passed_over) {
  std::array<Pair, 3> pairs{connect(), connect(), connect()};
  full = {0};
  handover.offer(accepted(pairs[0]));
  full = {};
  lost = {1};
  handover.offer(accepted(pairs[1]));
  EXPECT_THAT(handed, ElementsAre(1U, 0U));
  full = {0};
  handover.offer(accepted(pairs[2]));
  EXPECT_TRUE(handover.waiting());
  EXPECT_FALSE(handover.flush());
  full = {};
  EXPECT_TRUE(handover.flush());
  EXPECT_THAT(handed, ElementsAre(1U, 0U, 0U));
}

TEST_F(HandoverTest, what_cannot_be_handed_to_anybody_is_closed) {
  Pair pair = connect();
  drop = Code::kSystem;
  handover.offer(accepted(pair));
  EXPECT_FALSE(handover.waiting());
  EXPECT_TRUE(is_closed(pair.client));
}

TEST_F(HandoverTest, a_connection_is_kept_for_50_ms_and_other_doors_connections_not_at_all) {
  Pair grpc = connect();
  Pair http = connect();
  handover.offer(accepted(grpc));
  handover.offer(accepted(http, Connection::DOOR_HTTP));
  EXPECT_TRUE(is_closed(http.client));
  EXPECT_EQ(handover.next_expiry(), clock.now() + std::chrono::milliseconds(50));
  clock.advance(std::chrono::milliseconds(49));
  handover.expire();
  EXPECT_FALSE(is_closed(grpc.client));
  clock.advance(std::chrono::milliseconds(1));
  handover.expire();
  EXPECT_TRUE(is_closed(grpc.client));
  EXPECT_EQ(handover.next_expiry(), SteadyTime::max());
}

TEST_F(HandoverTest, untouched_connections_of_a_dead_worker_wait_for_another_and_its_others_close) {
  std::array<Pair, 3> pairs{connect(), connect(), connect()};
  say(pairs[0], kPreface);
  say(pairs[2], "other");
  for (auto& pair : pairs) {
    workers = {{0, 0}};
    handover.offer(accepted(pair));
  }
  workers = {{1, 0}};
  handover.worker_gone(0);
  EXPECT_TRUE(handover.waiting());
  EXPECT_TRUE(is_closed(pairs[1].client));
  EXPECT_TRUE(is_closed(pairs[2].client));
  EXPECT_TRUE(handover.flush());
  EXPECT_THAT(handed, ElementsAre(0U, 0U, 0U, 1U));
  handover.worker_gone(0);
  EXPECT_FALSE(is_closed(pairs[0].client)) << "it is another's now";
  handover.clear();
  EXPECT_TRUE(is_closed(pairs[0].client));
}

TEST_F(HandoverTest, what_is_kept_has_a_bound) {
  Pair first = connect();
  handover.linger(std::move(first.server));
  for (std::size_t i = 0; i < Handover::kMostKept; ++i) handover.linger(UniqueFd());
  EXPECT_TRUE(is_closed(first.client));
}

}  // namespace
}  // namespace ringside::supervisor
