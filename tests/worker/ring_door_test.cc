// What a ring door does with attached clients that lie, die, give up or never read, and that nobody else notices.

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>

#include "client/cpp/handle_transport.h"
#include "client/cpp/ring_attachment.h"
#include "client/cpp/ring_channel.h"
#include "client/cpp/transport.h"
#include "tests/worker/raw_ring.h"
#include "tests/worker/ring_house.h"

namespace ringside::worker {
namespace {

constexpr std::uint32_t kEcho = 3;
constexpr std::uint64_t kMiB = 1U << 20U;

std::string echo_header() { return header_of("POST", "/_ringside/echo"); }
SteadyTime soon() { return std::chrono::steady_clock::now() + kPatience; }

/// What a hostile client does with its ring.
struct Lie {
  const char* name;
  std::function<void(RawRing&)> tell;
  const char* refusal;
};
void PrintTo(const Lie& lie, std::ostream* out) { *out << lie.name; }

class Liar : public ::testing::TestWithParam<Lie> {};

TEST_P(Liar, loses_its_ring_by_name_and_others_are_served_on) {
  RingHouse house;
  const auto honest = std::move(connect_ring(house.client_options(), false)).value();
  {
    RawRing liar(house.dir());
    liar.fill(kEcho, 1, echo_header());
    liar.submit(kEcho);
    ASSERT_TRUE(liar.answered(1)) << "served as long as it is honest";
    GetParam().tell(liar);
    EXPECT_TRUE(closes(liar.socket()));
  }
  EXPECT_TRUE(becomes_true([&] { return house.refusals(GetParam().refusal) == 1; })) << GetParam().refusal;
  EXPECT_EQ(house.rings().stats().refusals.size(), 1U);
  EXPECT_EQ(house.rings().stats().rings, 1U);
  Request request = ping();
  request.deadline = soon();
  const Outcome pong = honest->call(request, nullptr);
  ASSERT_TRUE(pong.answer.ok());
  EXPECT_EQ(pong.answer->body, kPong);
}

void publish(RawRing& ring, std::uint32_t slot, const std::function<void(shm::Slot&)>& twist) {
  twist(ring.fill(slot, 2, echo_header(), 100));
  ring.submit(slot);
}

INSTANTIATE_TEST_SUITE_P(
    Rings, Liar,
    ::testing::Values(
        Lie{"slot_out_of_bounds", [](RawRing& ring) { ring.submit(shm::kSlots); }, "bad_slot"},
        Lie{"slot_without_a_call", [](RawRing& ring) { ring.submit(9); }, "bad_sequence"},
        Lie{"queue_overrun",
            [](RawRing& ring) {
              ring.segment().submission_tail.value.store(shm::kSubmissions + 5);
              ring.ring_doorbell();
            },
            "submission_overrun"},
        Lie{"run_out_of_bounds",
            [](RawRing& ring) { publish(ring, 1, [](shm::Slot& slot) { slot.first_block = 100'000; }); }, "bad_run"},
        Lie{"length_without_blocks",
            [](RawRing& ring) {
              publish(ring, 1, [](shm::Slot& slot) { slot.body_bytes = slot.total_bytes = 1U << 19U; });
            },
            "bad_length"},
        Lie{"length_that_wraps",
            [](RawRing& ring) {
              publish(ring, 1, [](shm::Slot& slot) { slot.body_bytes = slot.total_bytes = ~0ULL - 8; });
            },
            "body_too_large"},
        Lie{"parts_that_are_not_spoken_yet",
            [](RawRing& ring) { publish(ring, 1, [](shm::Slot& slot) { slot.flags = shm::kSlotMore; }); }, "bad_flags"},
        Lie{"the_same_call_twice", [](RawRing& ring) { ring.submit(kEcho); }, "published_twice"},
        Lie{"a_header_that_is_no_message",
            [](RawRing& ring) {
              ring.fill(1, 2, "\xff\xff\xff\xff");
              ring.submit(1);
            },
            "bad_request_header"},
        Lie{"a_header_with_a_body",
            [](RawRing& ring) {
              contextforge::mcp::runtime::v1::McpRequest request;
              request.set_body("hidden");
              ring.fill(1, 2, request.SerializeAsString());
              ring.submit(1);
            },
            "bad_request_header"},
        Lie{"a_release_of_what_was_not_lent",
            [](RawRing& ring) {
              ring.segment().releases[0] = {17, 3};
              ring.segment().release_tail.value.store(1);
              publish(ring, 1, [](shm::Slot&) {});
            },
            "bad_release"},
        Lie{"more_than_it_has_to_say", [](RawRing& ring) { EXPECT_TRUE(send_message(ring.socket(), "again").ok()); },
            "unexpected_message"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(RingDoor, a_call_on_a_ring_without_that_feature_ends_it) {
  RingHouse house;
  RawRing ring(house.dir(), 2);
  ring.fill(kEcho, 1, echo_header());
  ring.submit(kEcho);
  EXPECT_TRUE(closes(ring.socket()));
  EXPECT_TRUE(becomes_true([&] { return house.refusals("feature_not_agreed") == 1; }));
}

TEST(RingDoor, the_same_blocks_lent_to_many_calls_end_the_ring_before_memory_does) {
  RingHouse house;
  RawRing ring(house.dir());
  contextforge::mcp::runtime::v1::McpRequest header;
  header.set_path("/mcp");
  const Request call = hold(800'000);
  ring.fill(0, 1, header.SerializeAsString(), call.body.size());
  std::memcpy(
      reinterpret_cast<std::byte*>(&ring.segment()) + shm::pool_offset(shm::Side::kClient) + shm::kBodyAlignment,
      call.body.data(), call.body.size());
  for (std::uint32_t slot = 0; slot < 32; ++slot) {
    ring.fill(slot, slot + 1, header.SerializeAsString(), call.body.size());
    ring.submit(slot);
  }
  EXPECT_TRUE(closes(ring.socket()));
  EXPECT_TRUE(becomes_true([&] { return house.refusals("overlapping_bodies") == 1; }));
}

TEST(RingDoor, a_client_that_dies_mid_call_frees_everything_at_once) {
  RingHouse house;
  { RawRing warm(house.dir()); }
  ASSERT_TRUE(becomes_true([&] { return house.rings().stats().rings == 0; }));
  const std::size_t maps = house.settled_segments();
  const std::size_t descriptors = open_descriptors();
  {
    std::vector<std::unique_ptr<RawRing>> rings;
    const std::string body = hold().body;
    for (int i = 0; i < 8; ++i) {
      rings.push_back(std::make_unique<RawRing>(house.dir()));
      RawRing& ring = *rings.back();
      ring.fill(0, 1, header_of("POST", "/mcp"), body.size());
      std::memcpy(
          reinterpret_cast<std::byte*>(&ring.segment()) + shm::pool_offset(shm::Side::kClient) + shm::kBodyAlignment,
          body.data(), body.size());
      ring.submit(0);
    }
    ASSERT_TRUE(house.held().wait_for(8));
  }
  EXPECT_TRUE(house.held().wait_for_cancelled(8)) << "the upstream is told";
  EXPECT_TRUE(becomes_true([&] { return house.rings().stats().rings == 0; }));
  EXPECT_EQ(house.rings().stats().bytes, 0U);
  EXPECT_TRUE(house.rings().stats().refusals.empty()) << "dying is no lie";
  EXPECT_TRUE(becomes_true([&] { return mapped_segments() <= maps; }));
  EXPECT_TRUE(becomes_true([&] { return open_descriptors() <= descriptors; }));
}

TEST(RingDoor, a_stop_ends_calls_under_way_and_drained_is_told) {
  RingHouse house;
  auto transport = std::move(connect_ring(house.client_options(), false)).value();
  std::promise<Outcome> ended;
  Request request = hold();
  request.deadline = soon();
  const auto pending =
      transport->call_async(request, nullptr, [&](Outcome outcome) { ended.set_value(std::move(outcome)); });
  ASSERT_TRUE(house.held().wait_for(1));
  std::promise<void> drained;
  house.rings().drain([&] { drained.set_value(); });
  house.rings().stop();
  EXPECT_EQ(drained.get_future().wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_TRUE(house.held().wait_for_cancelled(1));
  EXPECT_FALSE(ended.get_future().get().answer.ok());
  EXPECT_EQ(house.rings().stats().rings, 0U);
}

/// An attachment with a channel, to speak gRPC by hand.
struct Spoken {
  explicit Spoken(RingHouse& house) : ring(house.dir()), channel(ring.take_channel(), 64 * kMiB) {}
  RawRing ring;
  RingChannel channel;

  Result<RingChannel::McpResponse> invoke(std::uint64_t by_ring, std::uint32_t generation, std::uint32_t slot,
                                          std::uint64_t sequence, std::uint64_t length) {
    RingChannel::McpRequest request;
    request.set_method("POST");
    request.set_path("/_ringside/echo");
    auto& handle = *request.mutable_body_handle();
    handle.set_ring(by_ring);
    handle.set_generation(generation);
    handle.set_slot(slot);
    handle.set_sequence(sequence);
    handle.set_length(length);
    return channel.invoke(request, soon());
  }
};

Code code_of(const Result<RingChannel::McpResponse>& response) {
  EXPECT_FALSE(response.ok());
  return response.ok() ? Code::kSystem : response.error().code;
}

TEST(RingHandles, a_forged_handle_is_an_invalid_argument) {
  RingHouse house;
  Spoken one(house);
  RawRing other(house.dir());
  const auto& mine = one.ring.reply();
  one.ring.fill(4, 77, "", 1000).flags.store(shm::kSlotHandle);
  const auto good = one.invoke(mine.ring(), mine.generation(), 4, 77, 1000);
  ASSERT_TRUE(good.ok()) << good.error().message;
  EXPECT_EQ(good->body_handle().length(), 1000U);

  EXPECT_EQ(code_of(one.invoke(mine.ring() + 1, mine.generation(), 4, 77, 1000)), Code::kNotFound) << "no such ring";
  EXPECT_EQ(code_of(one.invoke(other.reply().ring(), 1, 4, 77, 1000)), Code::kInvalid) << "not that ring's";
  EXPECT_EQ(code_of(one.invoke(mine.ring(), mine.generation() + 1, 4, 77, 1000)), Code::kNotFound) << "generation";
  EXPECT_EQ(code_of(one.invoke(mine.ring(), mine.generation(), 4, 78, 1000)), Code::kInvalid) << "stale";
  EXPECT_EQ(house.rings().stats().rings, 2U) << "none of these ends a ring";
}

TEST(RingHandles, a_call_that_meets_a_worker_without_its_ring_is_handed_back_unsent) {
  const RingHouse house;
  const RingHouse elsewhere;
  auto ours = attach_ring(house.client_options(), true).value();
  auto other = attach_ring(elsewhere.client_options(), true).value();
  std::swap(ours.channel, other.channel);
  const auto transport = HandleTransport::create(std::move(ours)).value();
  const Outcome outcome = transport->call(echo_of("body"), nullptr);
  EXPECT_EQ(outcome.answer.error().code, Code::kUnavailable);
  ASSERT_TRUE(outcome.unsent.has_value());
  EXPECT_EQ(outcome.unsent->body, "body");
  EXPECT_FALSE(transport->usable());
}

TEST(RingHandles, a_handle_out_of_bounds_ends_the_ring) {
  RingHouse house;
  Spoken liar(house);
  const RawRing other(house.dir());
  liar.ring.fill(4, 77, "", 1000, 100).flags.store(shm::kSlotHandle);
  liar.ring.segment().slots[4].first_block = 50'000;
  const auto& mine = liar.ring.reply();
  EXPECT_FALSE(liar.invoke(mine.ring(), mine.generation(), 4, 77, 1000).ok());
  EXPECT_TRUE(closes(liar.ring.socket()));
  EXPECT_TRUE(becomes_true([&] { return house.refusals("bad_run") == 1; }));
  EXPECT_EQ(house.rings().stats().rings, 1U);
  EXPECT_EQ(house.rings().handles().read({.ring = mine.ring(), .generation = 1}).error().code, Code::kNotFound);
  EXPECT_FALSE(house.rings().handles().lend({.ring = mine.ring(), .generation = 1}, "late").ok());
}

TEST(RingHandles, are_not_served_where_they_were_not_agreed) {
  RingHouse house;
  const RawRing ring(house.dir(), 1);
  const auto refused =
      house.rings().handles().read({.ring = ring.reply().ring(), .generation = 1, .slot = 0, .sequence = 1});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
}

TEST(RingFetch, an_answer_is_fetched_once_and_by_its_own_name_only) {
  RingDoorOptions options;
  options.segment_bytes = kMiB;
  RingHouse house(options);
  Spoken spoken(house);
  // Three answers of 400 KiB fit into no pool of 1 MiB while none is given back.
  constexpr std::size_t kBody = 400 * 1024;
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    spoken.ring.fill(slot, slot + 1, echo_header(), kBody);
    spoken.ring.submit(slot);
    ASSERT_TRUE(spoken.ring.answered(slot + 1));
  }
  const std::uint64_t ring = spoken.ring.reply().ring();
  EXPECT_FALSE(spoken.channel.fetch({ring, 2, 4}, soon()).ok()) << "another call's number";
  EXPECT_FALSE(spoken.channel.fetch({ring, 0, 1}, soon()).ok()) << "that one found room";
  EXPECT_FALSE(spoken.channel.fetch({ring, 100'000, 1}, soon()).ok());
  EXPECT_FALSE(spoken.channel.fetch({ring + 1, 2, 3}, soon()).ok()) << "another ring";
  const auto fetched = spoken.channel.fetch({ring, 2, 3}, soon());
  ASSERT_TRUE(fetched.ok()) << fetched.error().message;
  EXPECT_EQ(fetched->body.size(), kBody);
  EXPECT_FALSE(spoken.channel.fetch({ring, 2, 3}, soon()).ok()) << "once";

  // An answer that nobody fetches is forgotten when its slot is used again.
  spoken.ring.fill(2, 10, echo_header(), kBody);
  spoken.ring.submit(2);
  ASSERT_TRUE(spoken.ring.answered(4));
  spoken.ring.fill(2, 11, echo_header());
  spoken.ring.submit(2);
  ASSERT_TRUE(spoken.ring.answered(5));
  EXPECT_FALSE(spoken.channel.fetch({ring, 2, 10}, soon()).ok());
}

TEST(RingFetch, what_waits_to_be_fetched_is_bounded) {
  RingDoorOptions options;
  options.segment_bytes = kMiB;
  options.max_body_bytes = 256 * 1024;  // four of these may wait
  RingHouse house(options);
  Spoken spoken(house);
  constexpr std::size_t kBody = 250 * 1024;
  for (std::uint32_t slot = 0; slot < 10; ++slot) {
    spoken.ring.fill(slot, slot + 1, echo_header(), kBody);
    spoken.ring.submit(slot);
    ASSERT_TRUE(spoken.ring.answered(slot + 1));
  }
  const std::uint64_t ring = spoken.ring.reply().ring();
  int kept = 0;
  for (std::uint32_t slot = 0; slot < 10; ++slot)
    kept += spoken.channel.fetch({ring, slot, slot + 1}, soon()).ok() ? 1 : 0;
  EXPECT_EQ(kept, 4);
  EXPECT_TRUE(spoken.channel.fetch({ring, 9, 10}, soon()).error().code != Code::kUnavailable);
}

TEST(RingFetch, a_drain_waits_until_the_answer_has_been_fetched) {
  RingDoorOptions options;
  options.segment_bytes = kMiB;
  RingHouse house(options);
  Spoken spoken(house);
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    spoken.ring.fill(slot, slot + 1, echo_header(), 400 * 1024);
    spoken.ring.submit(slot);
    ASSERT_TRUE(spoken.ring.answered(slot + 1));
  }
  std::promise<void> drained;
  auto told = drained.get_future();
  house.rings().drain([&] { drained.set_value(); });
  EXPECT_TRUE(spoken.channel.fetch({spoken.ring.reply().ring(), 2, 3}, soon()).ok());
  EXPECT_EQ(told.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(closes(spoken.ring.socket()));
}

}  // namespace
}  // namespace ringside::worker
