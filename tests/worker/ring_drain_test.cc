// A worker that goes away, and clients whose calls go over an attachment's channel: each is served, or never began.

#include <gtest/gtest.h>

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
