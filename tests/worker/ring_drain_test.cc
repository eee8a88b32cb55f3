// A worker that goes away: each call is served, or never began, and its client knows which at once.

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <memory>
#include <utility>

#include "client/cpp/ring_channel.h"
#include "client/cpp/transport.h"
#include "tests/worker/raw_ring.h"
#include "tests/worker/ring_house.h"

namespace ringside::worker {
namespace {

constexpr std::size_t kMiB = 1U << 20U;
constexpr auto kNow = std::chrono::seconds(0);

SteadyTime soon() { return std::chrono::steady_clock::now() + kPatience; }

/// A house that has been told to go.
class Leaving {
 public:
  explicit Leaving(RingHouse& house) {
    house.rings().drain([this] { drained_.set_value(); });
  }
  [[nodiscard]] bool has_gone(std::chrono::seconds within) {
    return told_.wait_for(within) == std::future_status::ready;
  }

 private:
  std::promise<void> drained_;
  std::future<void> told_ = drained_.get_future();
};

bool pongs(RingChannel& channel) {
  RingChannel::McpRequest request;
  request.set_method("POST");
  request.set_path("/mcp");
  request.set_body(ping().body);
  const auto answer = channel.invoke(request, soon());
  return answer.ok() && answer->body() == kPong;
}

TEST(RingDrain, the_channel_is_served_until_a_client_that_promised_to_hang_up_does) {
  RingHouse house;
  RawRing ring(house.dir(), 3, /*hangs_up=*/true);
  RingChannel channel(ring.take_channel(), 64 * kMiB);
  Leaving house_leaves(house);
  EXPECT_TRUE(closes(ring.socket())) << "it is told";
  EXPECT_TRUE(pongs(channel)) << "a call may be on its way just then";
  EXPECT_FALSE(house_leaves.has_gone(kNow));
  ring.hang_up();
  EXPECT_TRUE(house_leaves.has_gone(kPatience));
}

/// Writes a call's body behind its header, in the first run.
void write_body(const RawRing& ring, std::size_t header_bytes, const std::string& body) {
  const std::size_t behind = (header_bytes + shm::kBodyAlignment - 1) / shm::kBodyAlignment * shm::kBodyAlignment;
  std::memcpy(reinterpret_cast<std::byte*>(&ring.segment()) + shm::pool_offset(shm::Side::kClient) + behind,
              body.data(), body.size());
}

TEST(RingDrain, what_was_taken_is_answered_after_its_client_was_told_that_nothing_more_is) {
  RingHouse house;
  RawRing ring(house.dir(), 3, /*hangs_up=*/true);
  const std::string body = hold().body;
  const std::string header = header_of("POST", "/mcp");
  ring.fill(0, 1, header, body.size());
  write_body(ring, header.size(), body);
  ring.submit(0);
  ASSERT_TRUE(house.held().wait_for(1));
  Leaving house_leaves(house);
  EXPECT_TRUE(closes(ring.socket())) << "at once, and not when the call has ended";
  ring.fill(1, 2, header_of("POST", "/_ringside/echo"), 0, 1);
  ring.submit(1);
  house.held().release();
  EXPECT_TRUE(ring.answered(1));
  EXPECT_TRUE(ring.taken(0, 1));
  EXPECT_FALSE(house_leaves.has_gone(kNow)) << "its client may still have calls over the channel";
  EXPECT_FALSE(ring.taken(1, 2));
  ring.hang_up();
  EXPECT_TRUE(house_leaves.has_gone(kPatience));
}

TEST(RingDrain, without_the_promise_the_end_comes_when_what_was_taken_is_answered) {
  RingHouse house;
  RawRing ring(house.dir());
  const std::string body = hold().body;
  const std::string header = header_of("POST", "/mcp");
  ring.fill(0, 1, header, body.size());
  write_body(ring, header.size(), body);
  ring.submit(0);
  ASSERT_TRUE(house.held().wait_for(1));
  Leaving house_leaves(house);
  EXPECT_FALSE(house_leaves.has_gone(kNow));
  house.held().release();
  EXPECT_TRUE(ring.answered(1));
  EXPECT_TRUE(closes(ring.socket()));
  EXPECT_TRUE(house_leaves.has_gone(kPatience));
}

TEST(RingDrain, a_body_of_which_a_part_is_missing_was_not_taken) {
  RingHouse house;
  RawRing ring(house.dir(), 1 | shm::kFeatureParts, /*hangs_up=*/true);
  const std::string header = header_of("POST", "/_ringside/echo");
  shm::Slot& slot = ring.fill(0, 1, header, 3000);
  slot.total_bytes = 6000;
  slot.flags.store(shm::kSlotMore);
  ring.submit(0);
  ASSERT_TRUE(ring.answered(1)) << "it is asked for the second part";
  Leaving house_leaves(house);
  EXPECT_TRUE(closes(ring.socket()));
  slot.header_bytes = 0;
  slot.flags.store(0);
  ring.submit(0);
  EXPECT_FALSE(house_leaves.has_gone(kNow));
  EXPECT_FALSE(ring.taken(0, 1));
  ring.hang_up();
  EXPECT_TRUE(house_leaves.has_gone(kPatience));
}

TEST(RingDrain, a_client_that_promised_nothing_holds_nobody_up) {
  RingHouse house;
  const RawRing ring(house.dir());
  Leaving house_leaves(house);
  EXPECT_TRUE(closes(ring.socket()));
  EXPECT_TRUE(house_leaves.has_gone(kPatience));
}

TEST(RingDrain, our_clients_idle_ones_too_leave_at_once) {
  RingHouse house;
  const auto ring = std::move(connect_ring(house.client_options(), false)).value();
  const auto handle = std::move(connect_ring(house.client_options(), true)).value();
  EXPECT_TRUE(Leaving(house).has_gone(kPatience));
}

TEST(RingDrain, a_handle_call_under_way_is_answered_and_the_next_one_never_begins) {
  RingHouse house;
  const auto transport = std::move(connect_ring(house.client_options(), true)).value();
  std::promise<Outcome> ended;
  Request request = hold();
  request.deadline = soon();
  const auto pending =
      transport->call_async(request, nullptr, [&](Outcome outcome) { ended.set_value(std::move(outcome)); });
  ASSERT_TRUE(house.held().wait_for(1));
  Leaving house_leaves(house);
  ASSERT_TRUE(becomes_true([&] { return !transport->usable(); }));
  request.deadline = soon();
  EXPECT_TRUE(transport->call(request, nullptr).unsent.has_value());
  EXPECT_FALSE(house_leaves.has_gone(kNow));
  house.held().release();
  const Outcome outcome = ended.get_future().get();
  ASSERT_TRUE(outcome.answer.ok()) << outcome.answer.error().message;
  EXPECT_EQ(outcome.answer->status, 200);
  EXPECT_TRUE(house_leaves.has_gone(kPatience));
}

}  // namespace
}  // namespace ringside::worker
