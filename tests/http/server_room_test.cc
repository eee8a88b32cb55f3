// Answers that are written faster than their client reads.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "http/server.h"
#include "tests/http/serving.h"

namespace ringside::test {
namespace {

using http::Responder;

/// An answer that has begun, and a client that does not read it.
struct Slow {
  explicit Slow(const std::string& request = kGet) {
    client.send(request);
    responder = desk.next();
    responder->begin(200, {});
  }
  /// Writes until the responder says no; how much.
  std::size_t fill() {
    std::size_t bytes = 0;
    for (bool room = true; room; bytes += 50'000) room = responder->write(std::string(50'000, 'x'));
    return bytes;
  }

  Desk desk;
  Serving serving{desk.handler()};
  RawSocket client = serving.connect();
  std::shared_ptr<Responder> responder;
};

bool comes(std::future<void>& event) { return event.wait_for(std::chrono::seconds(20)) == std::future_status::ready; }

TEST(ServerRoom, small_writes_have_room) {
  Slow slow;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(slow.responder->write("small"));
  slow.responder->end();
  EXPECT_TRUE(slow.client.read_until("0\r\n\r\n").ends_with("0\r\n\r\n"));
}

TEST(ServerRoom, who_writes_too_much_is_told_when_all_has_been_read) {
  Slow slow;
  for (int round = 0; round < 3; ++round) {
    std::promise<void> told;
    auto room = told.get_future();
    slow.responder->on_room([&told] { told.set_value(); });
    slow.responder->write("begin-" + std::to_string(round));
    slow.fill();
    slow.responder->write("end-" + std::to_string(round));
    EXPECT_NE(slow.client.read_until("end-" + std::to_string(round)), "");
    ASSERT_TRUE(comes(room)) << round;
    slow.responder->on_room([] {});
  }
}

TEST(ServerRoom, whoever_is_told_may_write_the_rest_on_the_spot) {
  Slow slow;
  slow.responder->on_room([weak = std::weak_ptr(slow.responder)] {
    const auto responder = weak.lock();
    if (!responder) return;
    responder->on_room([] {});
    responder->write(std::string(5'000'000, 'r'));
    responder->end();
  });
  const std::size_t written = slow.fill();
  const std::string all = slow.client.read_until("0\r\n\r\n");
  EXPECT_TRUE(all.ends_with("\r\n0\r\n\r\n"));
  EXPECT_GT(all.size(), written + 5'000'000);
  slow.client.send(post_of("next"));
  const auto next = slow.desk.next();
  ASSERT_TRUE(next) << "the connection goes on";
  next->respond({200, {}, "answer"});
  EXPECT_TRUE(slow.client.read_message().ends_with("answer"));
}

TEST(ServerRoom, the_rest_is_whole_where_the_connection_ends_with_it) {
  Slow slow("GET /mcp HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  slow.responder->on_room([weak = std::weak_ptr(slow.responder)] {
    const auto responder = weak.lock();
    if (!responder) return;
    responder->on_room([] {});
    responder->write(std::string(5'000'000, 'r'));
    responder->end();
  });
  slow.fill();
  EXPECT_TRUE(slow.client.read_to_end().ends_with("rrr\r\n0\r\n\r\n"));
}

TEST(ServerRoom, a_client_that_goes_away_leaves_room) {
  Slow slow;
  std::promise<void> told;
  auto room = told.get_future();
  slow.responder->on_room([&told] { told.set_value(); });
  slow.fill();
  slow.client.reset();
  EXPECT_TRUE(comes(room));
  EXPECT_TRUE(slow.responder->write(std::string(5'000'000, 'x'))) << "which goes nowhere";
}

TEST(ServerRoom, an_answer_that_is_complete_asks_for_no_room) {
  Slow slow;
  std::atomic<int> told{0};
  slow.responder->on_room([&told] { ++told; });
  slow.fill();
  slow.responder->end();
  (void)slow.client.read_until("0\r\n\r\n");
  slow.client.send(post_of("next"));
  const auto next = slow.desk.next();
  ASSERT_TRUE(next);
  next->begin(200, {});
  EXPECT_TRUE(next->write("small"));
  slow.responder->on_room([&told] { ++told; });
  EXPECT_LE(told, 1);
}

}  // namespace
}  // namespace ringside::test
