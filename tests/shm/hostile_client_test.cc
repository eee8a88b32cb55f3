// A client that writes its segment raw: each lie costs it its ring under a name of its own, and nothing else happens.

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "rings.h"

namespace ringside::shm {
namespace {

using test::duplicate;

/// Writes what another thread of the liar's may be writing too.
template <typename T>
void put(T& shared, T value) {
  std::atomic_ref(shared).store(value, std::memory_order_relaxed);
}

/// A request segment without a ClientEnd, attached to an honest worker.
struct Liar {
  explicit Liar(WorkerEndOptions options = test::worker_options())
      : segment(Segment::create(kMinSegmentBytes).value()) {
    shared().header = make_header(Side::kClient, kMinSegmentBytes, 0, 0);
    std::string_view reason;
    worker = WorkerEnd::attach(duplicate(segment.fd()), options, reason).value();
    response = Segment::adopt(duplicate(worker->response_fd()), reason).value();
  }

  [[nodiscard]] RequestSegment& shared() const { return *reinterpret_cast<RequestSegment*>(segment.data()); }

  /// A call that would be good, in slot 5 and block 0; `spoil` makes it bad.
  void write_call(const std::function<void(Slot&)>& spoil = [](Slot&) {}) {
    Slot& slot = shared().slots[5];
    put(slot.header_bytes, 10U);
    put(slot.body_bytes, std::uint64_t{5000});
    put(slot.total_bytes, std::uint64_t{5000});
    put(slot.first_block, 0U);
    put(slot.block_count, 2U);
    slot.sequence = ++sequence;
    spoil(slot);
  }
  void submit(std::uint32_t slot = 5) {
    shared().submissions[tail % kSubmissions] = slot;
    shared().submission_tail.value = ++tail;
  }
  void release(std::uint32_t first, std::uint32_t count) {
    shared().releases[released % kReleases] = {first, count};
    shared().release_tail.value = ++released;
  }
  [[nodiscard]] std::string refusal() const {
    const auto taken = worker->take();
    if (taken.ok()) return taken->has_value() ? "taken" : "nothing";
    EXPECT_EQ(taken.error().code, Code::kPeerLied);
    EXPECT_EQ(worker->take().error().message, taken.error().message) << "it stays over";
    EXPECT_FALSE(worker->park());
    return std::string(worker->refusal());
  }

  Segment segment;
  std::unique_ptr<WorkerEnd> worker;
  std::optional<Segment> response;
  std::uint64_t sequence = 0;
  std::uint32_t tail = 0;
  std::uint32_t released = 0;
};

std::string refusal_of(const std::function<void(Slot&)>& spoil) {
  Liar liar;
  liar.write_call(spoil);
  liar.submit();
  return liar.refusal();
}

constexpr std::uint32_t kMost32 = ~std::uint32_t{0};
constexpr std::uint64_t kMost64 = ~std::uint64_t{0};
const std::uint32_t kPool = blocks_in(Side::kClient, kMinSegmentBytes);

TEST(HostileClient, a_call_by_the_book_is_taken) {
  EXPECT_EQ(refusal_of([](Slot&) {}), "taken");
}

TEST(HostileClient, a_slot_number_out_of_bounds) {
  for (const std::uint32_t slot : {kSlots, kSlots + 5, kMost32}) {
    Liar liar;
    liar.submit(slot);
    EXPECT_EQ(liar.refusal(), "bad_slot");
  }
}

TEST(HostileClient, a_slot_that_is_not_in_use) {
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.sequence = 0; }), "bad_sequence");
}

TEST(HostileClient, lengths_that_do_not_fit_their_run) {
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.block_count = 1; }), "bad_length");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.block_count = 0; }), "bad_length");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.header_bytes = 5000; }), "bad_length");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.header_bytes = kMost32; }), "bad_length");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.total_bytes = 5001; }), "bad_length");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.body_bytes = slot.total_bytes = 10'000'000; }), "bad_length");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.header_bytes = 8192 - 4992, slot.body_bytes = slot.total_bytes = 4993; }),
            "bad_length");
}

TEST(HostileClient, a_body_over_the_limit) {
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.body_bytes = slot.total_bytes = kMost64; }), "body_too_large");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.body_bytes = slot.total_bytes = kMost64 - 63; }), "body_too_large");
  auto options = test::worker_options();
  options.max_body_bytes = 4999;
  Liar liar(options);
  liar.write_call();
  liar.submit();
  EXPECT_EQ(liar.refusal(), "body_too_large");
}

TEST(HostileClient, a_run_out_of_the_pool) {
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.first_block = kPool; }), "bad_run");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.first_block = kPool - 1; }), "bad_run");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.first_block = kMost32; }), "bad_run");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.first_block = kMost32 - 1; }), "bad_run");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.block_count = kMost32; }), "bad_run");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.first_block = 1, slot.block_count = kPool; }), "bad_run");
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.first_block = kPool - 2; }), "taken");
}

TEST(HostileClient, flags_that_mean_nothing_here) {
  for (const std::uint32_t flags :
       {std::uint32_t{kSlotMore}, std::uint32_t{kSlotRetry}, std::uint32_t{kSlotHandle}, 16U, kMost32}) {
    EXPECT_EQ(refusal_of([&](Slot& slot) { slot.flags = flags; }), "bad_flags") << flags;
  }
}

TEST(HostileClient, a_deadline_beyond_time) {
  EXPECT_EQ(refusal_of([](Slot& slot) { slot.deadline_ns = kMost64; }), "bad_deadline");
}

TEST(HostileClient, a_call_published_twice) {
  Liar liar;
  liar.write_call();
  liar.submit();
  liar.submit();
  EXPECT_EQ(liar.refusal(), "taken");
  EXPECT_EQ(liar.refusal(), "published_twice");
}

TEST(HostileClient, a_call_cancelled_twice) {
  Liar liar;
  liar.write_call([](Slot& slot) { slot.flags = kSlotCancel; });
  for (int i = 0; i < 3; ++i) liar.submit();
  EXPECT_EQ(liar.refusal(), "taken");
  EXPECT_EQ(liar.refusal(), "taken");
  EXPECT_EQ(liar.refusal(), "published_twice");
}

TEST(HostileClient, a_slot_used_again_before_its_answer) {
  Liar liar;
  liar.write_call();
  liar.submit();
  EXPECT_EQ(liar.refusal(), "taken");
  liar.write_call();
  liar.submit();
  EXPECT_EQ(liar.refusal(), "slot_in_use");
}

TEST(HostileClient, a_submission_cursor_that_leaps) {
  for (const std::uint32_t tail : {kSubmissions + 1, std::uint32_t{1} << 31U, kMost32}) {
    Liar liar;
    liar.shared().submission_tail.value = tail;
    EXPECT_EQ(liar.refusal(), "submission_overrun");
  }
}

TEST(HostileClient, a_submission_cursor_that_goes_back) {
  Liar liar;
  liar.write_call();
  liar.submit();
  EXPECT_EQ(liar.refusal(), "taken");
  liar.shared().submission_tail.value = 0;
  EXPECT_EQ(liar.refusal(), "submission_overrun");
}

TEST(HostileClient, gives_back_what_it_was_never_lent) {
  const auto refusal_of_release = [](std::uint32_t first, std::uint32_t count) {
    Liar liar;
    liar.release(first, count);
    return liar.refusal();
  };
  EXPECT_EQ(refusal_of_release(0, 1), "bad_release");
  EXPECT_EQ(refusal_of_release(kMost32, 1), "bad_release");
  EXPECT_EQ(refusal_of_release(0, kMost32), "bad_release");
  EXPECT_EQ(refusal_of_release(kSlots, 0), "bad_release");
  EXPECT_EQ(refusal_of_release(kMost32, 0), "bad_release");
  EXPECT_EQ(refusal_of_release(3, 0), "nothing") << "giving up a call that never came is fine";
}

TEST(HostileClient, gives_back_a_part_or_twice) {
  const auto lent = [](Liar& liar) {
    liar.write_call();
    liar.submit();
    EXPECT_EQ(liar.refusal(), "taken");
    EXPECT_TRUE(liar.worker->complete(5, liar.sequence, 200, {}, std::string(10'000, 'a')));  // blocks 0 to 2
  };
  {
    Liar liar;
    lent(liar);
    liar.release(0, 2);
    EXPECT_EQ(liar.refusal(), "bad_release");
  }
  {
    Liar liar;
    lent(liar);
    liar.release(1, 2);
    EXPECT_EQ(liar.refusal(), "bad_release");
  }
  {
    Liar liar;
    lent(liar);
    liar.release(0, 3);
    liar.release(0, 3);
    EXPECT_EQ(liar.refusal(), "bad_release");
  }
}

TEST(HostileClient, gives_up_by_handle_a_call_of_the_queue) {
  Liar liar;
  liar.write_call();
  liar.submit();
  EXPECT_EQ(liar.refusal(), "taken");
  liar.release(5, 0);
  EXPECT_EQ(liar.refusal(), "bad_release");
}

TEST(HostileClient, a_release_cursor_that_leaps) {
  Liar liar;
  liar.shared().release_tail.value = kReleases + 1;
  EXPECT_EQ(liar.refusal(), "release_overrun");
}

TEST(HostileClient, a_lie_is_found_on_every_path_that_reads_releases) {
  const auto lying = [](Liar& liar) {
    liar.write_call();
    liar.submit();
    EXPECT_EQ(liar.refusal(), "taken");
    liar.release(0, 1);
  };
  const Handle handle{test::kRing, test::kGeneration, 9, 1, 0, 0, 1};
  {
    Liar liar;
    lying(liar);
    EXPECT_TRUE(liar.worker->complete(5, liar.sequence, 200, "h", {})) << "nobody is left to fetch it";
    EXPECT_EQ(liar.worker->refusal(), "bad_release");
  }
  {
    Liar liar;
    lying(liar);
    EXPECT_EQ(liar.worker->read(handle).error().code, Code::kPeerLied);
    EXPECT_TRUE(liar.worker->complete(5, liar.sequence, 200, "h", {}));
  }
  {
    Liar liar;
    lying(liar);
    EXPECT_EQ(liar.worker->lend(handle, "b").error().code, Code::kPeerLied);
    EXPECT_EQ(liar.worker->refusal(), "bad_release");
  }
  {
    Liar liar;
    lying(liar);
    EXPECT_FALSE(liar.worker->park());
    EXPECT_EQ(liar.worker->refusal(), "bad_release");
  }
}

TEST(HostileClient, never_takes_its_answers) {
  Liar liar;
  std::uint32_t answered = 0;
  for (; answered < 2 * kCompletions && liar.worker->refusal().empty(); ++answered) {
    liar.write_call();
    liar.submit();
    ASSERT_EQ(liar.refusal(), "taken");
    (void)liar.worker->complete(5, liar.sequence, 200, {}, {});
  }
  EXPECT_EQ(answered, kCompletions + 1);
  EXPECT_EQ(liar.refusal(), "completion_overrun");
}

TEST(HostileClient, claims_to_have_taken_answers_that_never_were) {
  Liar liar;
  for (std::uint32_t answered = 0; answered <= kCompletions; ++answered) {
    liar.write_call();
    liar.submit();
    ASSERT_EQ(liar.refusal(), "taken");
    liar.shared().completion_head.value = answered + 1000;
    (void)liar.worker->complete(5, liar.sequence, 200, {}, {});
  }
  EXPECT_EQ(liar.refusal(), "completion_overrun");
}

TEST(HostileClient, starts_with_cursors_anywhere) {
  Liar liar;
  liar.shared().submission_tail.value = liar.tail = kMost32 - 2;
  liar.shared().release_tail.value = liar.released = kMost32;
  liar.shared().completion_head.value = kMost32;
  std::string_view reason;
  liar.worker = WorkerEnd::attach(duplicate(liar.segment.fd()), test::worker_options(), reason).value();
  for (int i = 0; i < 10; ++i) {
    liar.write_call();
    liar.submit();
    ASSERT_EQ(liar.refusal(), "taken");
    ASSERT_TRUE(liar.worker->complete(5, liar.sequence, 200, "h", {}));
    liar.release(0, 1);
  }
  EXPECT_EQ(liar.refusal(), "nothing") << "counters wrap around";
}

TEST(HostileClient, forges_the_slot_behind_its_handle) {
  const auto refusal_of_slot = [](const std::function<void(Slot&)>& spoil) {
    Liar liar;
    liar.write_call([&](Slot& slot) {
      slot.flags = kSlotHandle;
      spoil(slot);
    });
    const auto read = liar.worker->read({test::kRing, test::kGeneration, 5, liar.sequence, 0, 0, 5000});
    return read.ok() ? "read" : std::string(liar.worker->refusal());
  };
  EXPECT_EQ(refusal_of_slot([](Slot&) {}), "read");
  EXPECT_EQ(refusal_of_slot([](Slot& slot) { slot.flags = 0; }), "bad_handle");
  EXPECT_EQ(refusal_of_slot([](Slot& slot) { slot.body_bytes = 1; }), "bad_handle");
  EXPECT_EQ(refusal_of_slot([](Slot& slot) { slot.first_block = kMost32; }), "bad_run");
  EXPECT_EQ(refusal_of_slot([](Slot& slot) { slot.block_count = 1; }), "bad_length");
}

// Every shared byte changes at random while the worker uses it. It may end the ring; it may not do anything else.
TEST(HostileClient, rewrites_its_segment_while_it_is_used) {
  const std::uint64_t seed = test::seed();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    Liar liar;
    std::atomic<bool> stop{false};
    std::thread vandal([&liar, &stop, words = std::mt19937_64(random())]() mutable {
      auto* const slot = reinterpret_cast<std::uint32_t*>(&liar.shared().slots[5]);
      while (!stop) {
        const std::uint64_t word = words();
        const auto value = static_cast<std::uint32_t>(word % 3 == 0 ? word >> 40U : word % 8192);
        put(slot[(word >> 8U) % 16], value);
        if (word % 64 == 0) liar.shared().park.value = value;
        if (word % 4096 == 1) liar.shared().release_tail.value = value;
      }
    });
    for (int call = 0; call < 2000 && liar.worker->refusal().empty(); ++call) {
      liar.write_call();
      liar.submit();
      if (auto taken = liar.worker->take(); taken.ok() && taken->has_value() && !(*taken)->cancel) {
        (void)liar.worker->complete((*taken)->slot, (*taken)->sequence, 200, (*taken)->header, (*taken)->body);
      }
      liar.shared().completion_head.value.fetch_add(1);
      (void)liar.worker->read({test::kRing, test::kGeneration, 5, liar.sequence, 0, 0, 5000});
    }
    stop = true;
    vandal.join();
  }
}

}  // namespace
}  // namespace ringside::shm
