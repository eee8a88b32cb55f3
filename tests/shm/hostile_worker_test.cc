// A worker that writes its segment raw: the client notices, ends the ring, and comes to no harm.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>

#include "rings.h"

namespace ringside::shm {
namespace {

using test::duplicate;

/// A response segment without a WorkerEnd, joined by an honest client that has one call under way in slot `slot`.
struct Liar {
  explicit Liar(unsigned rung_before = 1)
      : segment(Segment::create(kMinSegmentBytes).value()),
        doorbell(::eventfd(rung_before, EFD_NONBLOCK | EFD_CLOEXEC)) {
    shared().header = make_header(Side::kWorker, kMinSegmentBytes, test::kGeneration, 0);
    client = ClientEnd::create(kMinSegmentBytes).value();
    const Status joined =
        client->join(duplicate(segment.fd()), duplicate(doorbell.get()), {test::kRing, test::kGeneration});
    RS_CHECK(joined.ok(), "a liar's segment is well made");
    auto claim = client->claim(0, 10'000).value();
    slot = claim.slot();
    sequence = claim.sequence();
    client->publish(std::move(claim), SteadyTime::max());
  }

  [[nodiscard]] ResponseSegment& shared() const { return *reinterpret_cast<ResponseSegment*>(segment.data()); }

  /// Answers by the book with two blocks; `spoil` makes it bad.
  void complete(const std::function<void(Completion&)>& spoil = [](Completion&) {}) {
    Completion& entry = shared().completions[tail % kCompletions];
    entry = {};
    entry.sequence = sequence;
    entry.slot = slot;
    entry.flags = kCompletionFinal;
    entry.status = 200;
    entry.header_bytes = 100;
    entry.body_bytes = 5000;
    entry.block_count = 2;
    spoil(entry);
    shared().completion_tail.value = ++tail;
  }
  [[nodiscard]] std::string verdict() const {
    const auto answer = client->poll();
    if (answer.ok()) return answer->has_value() ? "answered" : "nothing";
    EXPECT_EQ(answer.error().code, Code::kPeerLied);
    EXPECT_EQ(client->poll().error().code, Code::kPeerLied) << "it stays over";
    EXPECT_EQ(client->claim(0, 1).error().code, Code::kPeerLied);
    return std::string(answer.error().message);
  }

  Segment segment;
  UniqueFd doorbell;
  std::unique_ptr<ClientEnd> client;
  std::uint32_t slot = 0;
  std::uint64_t sequence = 0;
  std::uint32_t tail = 0;
};

std::string verdict_of(const std::function<void(Completion&)>& spoil) {
  Liar liar;
  liar.complete(spoil);
  return liar.verdict();
}

constexpr std::uint32_t kMost32 = ~std::uint32_t{0};
constexpr std::uint64_t kMost64 = ~std::uint64_t{0};
const std::uint32_t kPool = blocks_in(Side::kWorker, kMinSegmentBytes);

TEST(HostileWorker, an_answer_by_the_book_is_taken) {
  EXPECT_EQ(verdict_of([](Completion&) {}), "answered");
}

TEST(HostileWorker, answers_what_nobody_asked) {
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.slot = kSlots; }), "bad_slot");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.slot = kMost32; }), "bad_slot");
  EXPECT_EQ(verdict_of([](Completion& entry) { ++entry.slot; }), "bad_sequence");
  EXPECT_EQ(verdict_of([](Completion& entry) { ++entry.sequence; }), "bad_sequence");
}

TEST(HostileWorker, answers_twice) {
  Liar liar;
  liar.complete();
  liar.complete();
  EXPECT_EQ(liar.verdict(), "answered");
  EXPECT_EQ(liar.verdict(), "bad_sequence");
}

TEST(HostileWorker, flags_that_mean_nothing_here) {
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.flags = 0; }), "bad_flags");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.flags = kCompletionInline; }), "bad_flags");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.flags = kCompletionMore | kCompletionFinal; }), "bad_flags");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.flags = kMost32; }), "bad_flags");
}

TEST(HostileWorker, a_run_that_is_not_there) {
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.first_block = kPool - 1; }), "bad_run");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.first_block = kMost32; }), "bad_run");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.block_count = kMost32; }), "bad_run");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.block_count = 1; }), "bad_run");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.body_bytes = kMost64; }), "bad_run");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.header_bytes = kMost32; }), "bad_run");
  EXPECT_EQ(verdict_of([](Completion& entry) { entry.flags = kCompletionFinal | kCompletionInline; }), "bad_run");
}

TEST(HostileWorker, a_completion_cursor_that_leaps) {
  Liar liar;
  liar.shared().completion_tail.value = kCompletions + 1;
  EXPECT_TRUE(liar.client->wait(SteadyTime(), Duration::zero()).ok());
  EXPECT_EQ(liar.verdict(), "completion_overrun");
}

TEST(HostileWorker, gives_back_a_calls_blocks_early_which_is_allowed) {
  Liar liar;
  constexpr std::size_t kAll = kMinSegmentBytes - sizeof(RequestSegment);
  EXPECT_EQ(liar.client->claim(0, kAll).error().code, Code::kFull);
  liar.shared().releases[0] = {0, 3};
  liar.shared().release_tail.value = 1;
  EXPECT_TRUE(liar.client->claim(0, kAll).ok());
  liar.complete();
  EXPECT_EQ(liar.verdict(), "answered");
}

TEST(HostileWorker, gives_back_what_it_does_not_hold) {
  for (const Release entry : {Release{0, 2}, Release{1, 2}, Release{0, 0}, Release{kMost32, kMost32}}) {
    Liar liar;
    liar.shared().releases[0] = entry;
    liar.shared().release_tail.value = 1;
    EXPECT_EQ(liar.client->claim(0, kMinSegmentBytes - sizeof(RequestSegment)).error().message, "bad_release");
  }
  Liar liar;
  liar.shared().release_tail.value = kReleases + 1;
  EXPECT_EQ(liar.client->claim(0, kMinSegmentBytes - sizeof(RequestSegment)).error().message, "release_overrun");
}

TEST(HostileWorker, pretends_to_sleep_without_end) {
  Liar liar;
  for (std::uint32_t park = 1; park < 200; park += 2) {
    liar.shared().park.value = park;
    liar.client->publish(liar.client->claim(0, 0).value(), SteadyTime::max());
  }
  EXPECT_EQ(liar.client->doorbells_rung(), 100U) << "one ring a publish at most";
}

TEST(HostileWorker, that_makes_the_doorbell_block_and_fills_it_blocks_nobody_but_itself) {
  for (const unsigned rung_before : {0U, 1U}) {
    const Liar liar(rung_before);
    const int bell = liar.doorbell.get();
    ASSERT_EQ(::fcntl(bell, F_SETFL, ::fcntl(bell, F_GETFL) & ~O_NONBLOCK), 0);
    std::uint64_t count = 0;
    ASSERT_EQ(::read(bell, &count, sizeof count), 8);
    EXPECT_EQ(count, 1U) << "the client has seen to it that it was rung, once";
    const std::uint64_t most = ~std::uint64_t{0} - 1;
    ASSERT_EQ(::write(bell, &most, sizeof most), 8);
    auto rings = std::async(std::launch::async, [&] {
      for (std::uint32_t park = 1; park < 100; park += 2) {
        liar.shared().park.value = park;
        liar.client->publish(liar.client->claim(0, 0).value(), SteadyTime::max());
      }
    });
    EXPECT_EQ(rings.wait_for(std::chrono::seconds(30)), std::future_status::ready);
    (void)!::read(bell, &count, sizeof count);  // lets it go all the same
    EXPECT_EQ(liar.client->doorbells_rung(), 50U);
  }
}

}  // namespace
}  // namespace ringside::shm
