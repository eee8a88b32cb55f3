// Bodies larger than a free run travel in parts, both ways. Both ends in one process.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <functional>
#include <map>
#include <span>

#include "rings.h"
#include "uploads.h"

namespace ringside::shm {
namespace {

using test::exchange;
using test::Upload;

constexpr std::uint32_t kAll = kFeatureRing | kFeatureAgain | kFeatureParts;
constexpr std::size_t kPool = kMinSegmentBytes - sizeof(RequestSegment);

WorkerEndOptions options_with(std::uint32_t features, std::size_t max_parts_bytes = 256U << 20U) {
  WorkerEndOptions options = test::worker_options();
  options.features = features;
  options.max_parts_bytes = max_parts_bytes;
  return options;
}

/// The client collects an answer in parts while the worker sends them.
std::pair<std::string, std::string> collect(const test::Ring& ring) {
  std::pair<std::string, std::string> collected;
  for (int turn = 0; turn < 100'000; ++turn) {
    if (auto answer = ring.client->poll().value()) {
      collected.first.append(answer->answer.header());
      collected.second.append(answer->answer.body());
      if (!answer->more) return collected;
    } else {
      EXPECT_FALSE(ring.worker->take().value().has_value());  // which looks for room
    }
  }
  ADD_FAILURE() << "the answer never came";
  return collected;
}

test::Ring ring_with(std::uint32_t features, std::size_t max_parts_bytes = 256U << 20U) {
  return {kMinSegmentBytes, options_with(features, max_parts_bytes)};
}

TEST(Parts, bodies_of_many_sizes_come_back_byte_exact_both_ways) {
  std::mt19937_64 random(test::seed());
  const auto ring = ring_with(kAll);
  for (const std::size_t bytes : {kPool + 1, 2 * kPool, 3 * kPool + 777, std::size_t{9'999'999}}) {
    const std::string header = test::random_bytes(random, 100);
    Upload upload(ring, header, test::random_bytes(random, bytes));
    auto taken = exchange(upload);
    ASSERT_EQ(taken.sequence, upload.sequence);
    ASSERT_TRUE(taken.in_parts);
    ASSERT_EQ(taken.header, header);
    ASSERT_TRUE(taken.body == upload.body) << bytes;
    EXPECT_FALSE(
        ring.worker->complete(taken.slot, taken.sequence, 200, header, taken.body, WorkerEnd::Otherwise::kNothing));
    ASSERT_TRUE(ring.worker->complete_in_parts(taken.slot, taken.sequence, 200, header, taken.body));
    const auto collected = collect(ring);
    EXPECT_EQ(collected.first, header);
    ASSERT_TRUE(collected.second == upload.body) << bytes;
    EXPECT_FALSE(ring.worker->sends_parts());
  }
  EXPECT_TRUE(ring.client->claim(0, kPool).ok()) << "every block is free again";
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(Parts, small_calls_pass_between_the_parts_of_a_large_one) {
  const auto ring = ring_with(kAll);
  Upload upload(ring, "large", std::string(4 * kPool, 'x'));
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(ring.worker->take().value().has_value());
    const auto asked = ring.client->poll().value();
    ASSERT_TRUE(asked && asked->send_more);
    const auto call = ring.send("small", "y");
    EXPECT_EQ(ring.take().sequence, call.second);
    ASSERT_TRUE(ring.worker->complete(call.first, call.second, 200, {}, "z"));
    EXPECT_EQ(ring.receive().sequence, call.second);
    if (!upload.send_part() || upload.sent == upload.body.size()) break;
  }
  EXPECT_EQ(ring.take().body.size(), 4 * kPool);
}

TEST(Parts, two_large_answers_share_the_room) {
  const auto ring = ring_with(kAll);
  const auto first = ring.send("a", {});
  const auto second = ring.send("b", {});
  (void)ring.take();
  (void)ring.take();
  std::string a(3 * kPool, 'a');
  std::string b(3 * kPool, 'b');
  ASSERT_TRUE(ring.worker->complete_in_parts(first.first, first.second, 200, "A", a));
  ASSERT_TRUE(ring.worker->complete_in_parts(second.first, second.second, 200, "B", b));
  std::map<std::uint64_t, std::string> bodies;
  int ended = 0;
  while (ended < 2) {
    if (auto answer = ring.client->poll().value()) {
      bodies[answer->sequence].append(answer->answer.body());
      ended += answer->more ? 0 : 1;
    } else {
      ASSERT_FALSE(ring.worker->take().value().has_value());
    }
  }
  EXPECT_EQ(bodies[first.second], std::string(3 * kPool, 'a'));
  EXPECT_EQ(bodies[second.second], std::string(3 * kPool, 'b'));
}

TEST(Parts, a_worker_that_sleeps_on_an_answer_is_rung_when_there_is_room) {
  const auto ring = ring_with(kAll);
  const auto call = ring.send("h", {});
  (void)ring.take();
  std::string body(2 * kPool, 'x');
  ASSERT_TRUE(ring.worker->complete_in_parts(call.first, call.second, 200, {}, body));
  ASSERT_TRUE(ring.worker->park());
  const std::uint64_t before = ring.client->doorbells_rung();
  EXPECT_TRUE(ring.receive().more);  // whose loan is dropped at once
  EXPECT_EQ(ring.client->doorbells_rung(), before + 1);
}

TEST(Parts, a_cancelled_upload_is_answered_and_its_room_is_free) {
  const auto ring = ring_with(kAll);
  for (const int parts_before : {0, 1, 2}) {
    Upload upload(ring, "h", std::string(3 * kPool, 'x'));
    for (int i = 0; i < parts_before; ++i) {
      ASSERT_FALSE(ring.worker->take().value().has_value());
      ASSERT_TRUE(ring.receive().send_more);
      ASSERT_TRUE(upload.send_part());
    }
    ring.client->cancel(upload.slot, upload.sequence);
    EXPECT_FALSE(ring.worker->take().value().has_value());
    const auto end = ring.receive();
    EXPECT_EQ(end.sequence, upload.sequence);
    EXPECT_FALSE(end.more || end.send_more);
    EXPECT_FALSE(upload.send_part());
    EXPECT_TRUE(ring.client->claim(0, kPool).ok());
  }
  // Between a part and the next, when only the worker's question is under way.
  Upload upload(ring, "h", std::string(3 * kPool, 'x'));
  ASSERT_FALSE(ring.worker->take().value().has_value());
  ASSERT_TRUE(ring.receive().send_more);
  ring.client->cancel(upload.slot, upload.sequence);
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_EQ(ring.receive().sequence, upload.sequence);
  EXPECT_EQ(ring.worker->refusal(), "");
}

TEST(Parts, a_cancelled_answer_ends_early) {
  const auto ring = ring_with(kAll);
  const auto call = ring.send("h", {});
  (void)ring.take();
  std::string body(20 * kPool, 'x');
  ASSERT_TRUE(ring.worker->complete_in_parts(call.first, call.second, 200, {}, body));
  EXPECT_TRUE(ring.receive().more);
  ring.client->cancel(call.first, call.second);
  EXPECT_TRUE(ring.take().cancel);
  EXPECT_LT(collect(ring).second.size(), 2 * kPool) << "what had gone already, and no more";
  EXPECT_FALSE(ring.worker->sends_parts());
}

TEST(Parts, beyond_the_budget_a_second_part_is_asked_for_when_another_call_is_answered) {
  const auto ring = ring_with(kAll, 3 * kPool);
  Upload first(ring, "1", std::string(2 * kPool, '1'));
  const auto taken = exchange(first);
  Upload second(ring, "2", std::string(2 * kPool, '2'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_FALSE(ring.client->poll().value().has_value()) << "it waits";
  ASSERT_TRUE(ring.worker->complete(taken.slot, taken.sequence, 200, {}, {}));
  const auto one = ring.receive();
  const auto other = ring.receive();
  EXPECT_TRUE(one.send_more != other.send_more);
  ASSERT_TRUE(second.send_part());
  EXPECT_EQ(exchange(second).body, second.body);
}

TEST(Parts, go_again_from_the_first_after_a_death) {
  auto ring = ring_with(kAll);
  Upload unfinished(ring, "h", std::string(3 * kPool, 'x'));
  ASSERT_FALSE(ring.worker->take().value().has_value());
  Upload whole(ring, "h", std::string(2 * kPool, 'y'));
  ASSERT_FALSE(ring.worker->take().value().has_value());
  while (auto asked = ring.client->poll().value()) {
    if (asked->sequence == whole.sequence) {
      ASSERT_TRUE(whole.send_part());
      (void)ring.worker->take();
    }
  }
  ring.worker.reset();
  const auto dropped = ring.client->detach(100);
  ASSERT_EQ(dropped.size(), 2U) << "their callers have the bytes";
  for (const auto& call : dropped) {
    EXPECT_EQ(call.taken, call.sequence == whole.sequence);
    EXPECT_FALSE(call.too_often);
  }
  // One that begins while nobody is there.
  Upload next(ring, "next", std::string(2 * kPool, 'z'));
  std::string_view reason;
  ring.worker = WorkerEnd::attach(test::duplicate(ring.client->request_fd()), options_with(kAll), reason).value();
  ASSERT_TRUE(ring.client
                  ->join(test::duplicate(ring.worker->response_fd()), test::duplicate(ring.worker->doorbell_fd()),
                         {test::kRing, test::kGeneration, kAll})
                  .ok());
  EXPECT_EQ(exchange(next).body, next.body);
}

TEST(Parts, are_not_used_where_they_were_not_agreed) {
  const auto ring = ring_with(kFeatureRing);
  EXPECT_EQ(ring.client->claim_in_parts(10, 2 * kPool).error().code, Code::kTooLarge);
  const auto call = ring.send("h", {});
  (void)ring.take();
  std::string body(2 * kPool, 'x');
  EXPECT_FALSE(ring.worker->complete_in_parts(call.first, call.second, 200, {}, body));
  EXPECT_EQ(body.size(), 2 * kPool) << "untouched";
}

/// The client's own mapping of its segment, found through a part that it may fill.
RequestSegment& own_segment(const test::Ring& ring, const Upload& upload, std::span<char> part) {
  void* const mapped = ::mmap(nullptr, kMinSegmentBytes, PROT_READ, MAP_SHARED, ring.client->request_fd(), 0);
  EXPECT_NE(mapped, MAP_FAILED);
  const std::uint32_t first = static_cast<const RequestSegment*>(mapped)->slots[upload.slot].first_block;
  ::munmap(mapped, kMinSegmentBytes);
  return *reinterpret_cast<RequestSegment*>(part.data() - block_offset(first) - sizeof(RequestSegment));
}

/// Publishes a slot behind the back of the client's end.
void submit_raw(RequestSegment& ours, std::uint32_t slot) {
  const std::uint32_t tail = ours.submission_tail.value.load();
  ours.submissions[tail % kSubmissions] = slot;
  ours.submission_tail.value.store(tail + 1);
}

/// How a ring ends whose client lies about the second part.
std::string refusal_of(const std::function<void(Upload&, RequestSegment&)>& lie) {
  const auto ring = ring_with(kAll);
  Upload upload(ring, "h", std::string(3 * kPool, 'x'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_TRUE(ring.receive().send_more);
  lie(upload, own_segment(ring, upload, ring.client->next_part(upload.slot, upload.sequence)));
  (void)ring.worker->take();
  return std::string(ring.worker->refusal());
}

TEST(Parts, that_lie_end_the_ring) {
  EXPECT_EQ(refusal_of([](Upload& upload, RequestSegment& ours) {
              ours.slots[upload.slot].total_bytes = 7;
              upload.send_part();
            }),
            "bad_length");
  EXPECT_EQ(refusal_of([](Upload& upload, RequestSegment& ours) {
              upload.send_part();
              ours.slots[upload.slot].flags = 0;  // the last, though bytes are missing
            }),
            "bad_length");
  EXPECT_EQ(refusal_of([](Upload& upload, RequestSegment& ours) {
              upload.send_part();
              ours.slots[upload.slot].sequence = 99;
            }),
            "slot_in_use");
}

TEST(Parts, that_nobody_asked_for_end_the_ring) {
  const auto ring = ring_with(kAll, 3 * kPool);
  Upload first(ring, "1", std::string(2 * kPool, '1'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_TRUE(ring.receive().send_more);
  auto& ours = own_segment(ring, first, ring.client->next_part(first.slot, first.sequence));
  Upload second(ring, "2", std::string(2 * kPool, '2'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  ours.slots[second.slot].header_bytes = 0;
  submit_raw(ours, second.slot);
  EXPECT_FALSE(ring.worker->take().ok());
  EXPECT_EQ(ring.worker->refusal(), "part_not_asked");
}

TEST(Parts, whose_question_was_cancelled_are_not_asked_for) {
  const auto ring = ring_with(kAll, 5 * kPool / 2);
  Upload other(ring, "o", std::string(6 * kPool / 5, 'o'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_TRUE(ring.receive().send_more);
  auto& ours = own_segment(ring, other, ring.client->next_part(other.slot, other.sequence));
  Upload cancelled(ring, "c", std::string(6 * kPool / 5, 'c'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_TRUE(ring.receive().send_more);
  ring.client->cancel(cancelled.slot, cancelled.sequence);
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_EQ(ring.receive().sequence, cancelled.sequence);
  // In the same slot one that has to wait for its question.
  Upload next(ring, "n", std::string(2 * kPool, 'n'));
  ASSERT_EQ(next.slot, cancelled.slot);
  EXPECT_FALSE(ring.worker->take().value().has_value());
  ours.slots[next.slot].header_bytes = 0;
  submit_raw(ours, next.slot);
  EXPECT_FALSE(ring.worker->take().ok());
  EXPECT_EQ(ring.worker->refusal(), "part_not_asked");
}

TEST(Parts, that_are_empty_or_lent_many_times_end_the_ring) {
  EXPECT_EQ(refusal_of([](Upload& upload, RequestSegment& ours) {
              upload.send_part();
              ours.slots[upload.slot].body_bytes = 0;
            }),
            "bad_length");
  const auto ring = ring_with(kAll);
  Upload upload(ring, "h", std::string(3 * kPool, 'x'));
  EXPECT_FALSE(ring.worker->take().value().has_value());
  EXPECT_TRUE(ring.receive().send_more);
  auto& ours = own_segment(ring, upload, ring.client->next_part(upload.slot, upload.sequence));
  // The same blocks, as the first part of one body after the other.
  bool refused = false;
  for (std::uint32_t slot = 100; slot < 200 && !refused; ++slot) {
    Slot& lie = ours.slots[slot];
    lie.flags = kSlotMore;
    lie.header_bytes = 0;
    lie.body_bytes = 500'000;
    lie.total_bytes = 10'000'000;
    lie.first_block = ours.slots[upload.slot].first_block;
    lie.block_count = ours.slots[upload.slot].block_count;
    lie.sequence = 10'000 + slot;
    submit_raw(ours, slot);
    refused = !ring.worker->take().ok();
  }
  EXPECT_EQ(ring.worker->refusal(), "overlapping_bodies");
}

}  // namespace
}  // namespace ringside::shm
